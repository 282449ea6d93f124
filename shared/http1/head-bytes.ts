const CR = 13;

/**
 * A head as bytes, less some of its lines. It must have been read strictly (each line ends in CRLF, none is folded, and
 * there is no other CR), with or without its empty line, which is not copied. The usual head loses a line or none, so
 * this spares making text of all others and bytes of the text again.
 *
 * `places`: rising, where the dropped fields' names stand in the list of names and values. Writes at `at` in `into`, which
 * has room for the whole head. Returns where it ended.
 */
export function copyHead(head: Uint8Array, places: readonly number[], into: Uint8Array, at: number): number {
  const size = sizeWithoutEmptyLine(head);
  let from = 0;
  let place = -2;
  let line = 0;
  for (const dropped of places) {
    // The start line stands at -2, the first field at 0.
    for (; place < dropped; place += 2) line = head.indexOf(CR, line) + 2;
    at = copy(head, from, line, into, at);
    line = head.indexOf(CR, line) + 2;
    place += 2;
    from = line;
  }
  return copy(head, from, size, into, at);
}

/** How long a head is without the empty line at its end, where it has one. */
export function sizeWithoutEmptyLine(head: Uint8Array): number {
  const { length } = head;
  return head[length - 3] === 10 && head[length - 2] === CR ? length - 2 : length;
}

function copy(head: Uint8Array, from: number, to: number, into: Uint8Array, at: number): number {
  if (to > from) into.set(from === 0 && to === head.length ? head : head.subarray(from, to), at);
  return at + to - from;
}
