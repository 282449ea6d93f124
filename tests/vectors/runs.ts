const shortestRunBytes = 64;

/**
 * Hex in which a run of 64 and more equal bytes is written `(78*65507)`, so that vectors of the largest sizes stay
 * readable: `00ff(78*100)01` is 103 bytes.
 */
export function toRuns(hex: string): string {
  const pairs = hex.match(/../g) ?? [];
  let text = "";
  for (let from = 0; from < pairs.length; ) {
    const byte = pairs[from] ?? "";
    let to = from;
    while (pairs[to] === byte) to++;
    text += to - from < shortestRunBytes ? byte.repeat(to - from) : `(${byte}*${to - from})`;
    from = to;
  }
  return text;
}

export function fromRuns(text: string): string {
  return text.replace(/\(([0-9a-f]{2})\*(\d+)\)/g, (_, byte: string, times: string) =>
    byte.repeat(Number(times)),
  );
}
