/** Builds ClientHellos, right and wrong ones, independently of the reader under test (RFC 8446 sections 4.1.2 and 5.1). */

export type Extension = readonly [type: number, data: Uint8Array];

export interface MadeHello {
  readonly sni?: string;
  readonly alpn?: readonly string[];
  /** Beside those two, before them. */
  readonly extensions?: readonly Extension[];
  readonly sessionId?: Uint8Array;
  readonly ciphers?: Uint8Array;
  readonly compressions?: Uint8Array;
}

export function u16(value: number): Uint8Array {
  return Uint8Array.of(value >>> 8, value & 0xff);
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

export function vector8(...parts: readonly Uint8Array[]): Uint8Array {
  const all = concat(...parts);
  return concat(Uint8Array.of(all.length), all);
}

export function vector16(...parts: readonly Uint8Array[]): Uint8Array {
  const all = concat(...parts);
  return concat(u16(all.length), all);
}

export function ascii(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "latin1"));
}

/** Names as [type, bytes]: RFC 6066 section 3 knows type 0 only, and one of it. */
export function serverNames(...names: readonly (readonly [number, Uint8Array])[]): Extension {
  return [0, vector16(...names.map(([type, name]) => concat(Uint8Array.of(type), vector16(name))))];
}

export function protocols(...names: readonly string[]): Extension {
  return [16, vector16(...names.map((name) => vector8(ascii(name))))];
}

/** The message's body; `undefined` extensions: not even their length, as before TLS 1.2. */
export function helloBody(made: MadeHello, extensions: readonly Extension[] | undefined): Uint8Array {
  return concat(
    u16(0x0303),
    new Uint8Array(32).fill(7),
    vector8(made.sessionId ?? new Uint8Array(32).fill(9)),
    vector16(made.ciphers ?? Uint8Array.of(0x13, 0x01, 0x13, 0x02)),
    vector8(made.compressions ?? Uint8Array.of(0)),
    extensions === undefined
      ? new Uint8Array(0)
      : vector16(...extensions.map(([type, data]) => concat(u16(type), vector16(data)))),
  );
}

export function handshake(body: Uint8Array, type = 1): Uint8Array {
  return concat(
    Uint8Array.of(type, body.length >>> 16, (body.length >>> 8) & 0xff, body.length & 0xff),
    body,
  );
}

/** `message` in records of these sizes; the last one has the rest. */
export function records(message: Uint8Array, ...sizes: readonly number[]): Uint8Array {
  const parts: Uint8Array[] = [];
  let at = 0;
  for (const size of [...sizes, message.length]) {
    if (at >= message.length) break;
    const piece = message.subarray(at, at + size);
    parts.push(Uint8Array.of(22, 3, 1), u16(piece.length), piece);
    at += size;
  }
  return concat(...parts);
}

/** A whole message that is well formed. */
export function helloMessage(made: MadeHello = {}): Uint8Array {
  const all = [...(made.extensions ?? [])];
  if (made.sni !== undefined) all.push(serverNames([0, ascii(made.sni)]));
  if (made.alpn !== undefined) all.push(protocols(...made.alpn));
  return handshake(helloBody(made, all));
}

/** In one record. */
export function makeHello(made: MadeHello = {}): Uint8Array {
  return records(helloMessage(made));
}
