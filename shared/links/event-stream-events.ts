const encoder = new TextEncoder();

/** The first event: by what POSTs find their way to this link. */
export function openEvent(opening: { readonly link: string; readonly secret: string }): Uint8Array {
  return encoder.encode(`event: open\ndata: ${JSON.stringify(opening)}\n\n`);
}

const dataField = encoder.encode("data: ");
const lf = 10;

/** How large the event of a message of so many bytes is. */
export function messageEventBytes(messageBytes: number): number {
  return dataField.length + Math.ceil(messageBytes / 3) * 4 + 2;
}

/** An event without a name. `room`: where it may be written, if that is large enough. */
export function messageEvent(message: Uint8Array, room?: Uint8Array): Uint8Array {
  const size = messageEventBytes(message.length);
  const event = room === undefined || room.length < size ? new Uint8Array(size) : room.subarray(0, size);
  event.set(dataField);
  encoder.encodeInto(message.toBase64(), event.subarray(dataField.length));
  event[size - 2] = lf;
  event[size - 1] = lf;
  return event;
}

/** Lines of `text` become lines of data: a line end in it can't end the event. */
export function textEvent(text: string): Uint8Array {
  return encoder.encode(`event: text\n${dataLines(text)}\n`);
}

export function closeEvent(code: number, reason: string): Uint8Array {
  return encoder.encode(`event: close\n${dataLines(`${code} ${reason}`)}\n`);
}

/** Tells the agent, and the proxies on the way, that the link lives. */
export function commentLines(): Uint8Array {
  return encoder.encode(":\n\n");
}

function dataLines(text: string): string {
  return text
    .split(/\r\n|\r|\n/)
    .map((line) => `data: ${line}\n`)
    .join("");
}
