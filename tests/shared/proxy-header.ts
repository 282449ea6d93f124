/** What a PROXY header says, as its receiver reads it (haproxy's proxy-protocol.txt, sections 2.1 and 2.2). */
export interface ProxyHeader {
  readonly kind: "local" | "tcp4" | "tcp6";
  readonly source?: string;
  readonly destination?: string;
  /** Where the origin's own bytes begin. */
  readonly end: number;
}

const signature = "\r\n\r\n\0\r\nQUIT\n";

/** Reads either version, and throws for what a receiver must refuse. */
export function readProxyHeader(bytes: Uint8Array): ProxyHeader {
  const buffer = Buffer.from(bytes);
  return buffer.toString("latin1", 0, 12) === signature ? readBinary(buffer) : readText(buffer);
}

function readText(bytes: Buffer): ProxyHeader {
  const line = /^PROXY (?:UNKNOWN|(TCP4|TCP6) (\S+) (\S+) (0|[1-9]\d*) (0|[1-9]\d*))\r\n/.exec(
    bytes.toString("latin1", 0, 107),
  );
  if (line === null) throw new Error(`no PROXY line: ${bytes.toString("latin1", 0, 107)}`);
  const [all, family, from, to, fromPort, toPort] = line;
  if (family === undefined) return { kind: "local", end: all.length };
  const text = (address: string | undefined, port: string | undefined) =>
    family === "TCP4" ? `${address}:${port}` : `[${address}]:${port}`;
  const kind = family === "TCP4" ? "tcp4" : "tcp6";
  return { kind, source: text(from, fromPort), destination: text(to, toPort), end: all.length };
}

function readBinary(bytes: Buffer): ProxyHeader {
  const command = bytes.readUInt8(12);
  const family = bytes.readUInt8(13);
  const length = bytes.readUInt16BE(14);
  const end = 16 + length;
  if (bytes.length < end) throw new Error("a PROXY header that is cut off");
  if (command === 0x20) return { kind: "local", end };
  if (command !== 0x21) throw new Error(`version and command ${command}`);
  const size = family === 0x11 ? 4 : family === 0x21 ? 16 : 0;
  if (size === 0 || length < 2 * size + 4) throw new Error(`family ${family} with ${length} bytes`);
  const text = (at: number, portAt: number) => {
    const address = [...bytes.subarray(at, at + size)];
    const port = bytes.readUInt16BE(portAt);
    if (size === 4) return `${address.join(".")}:${port}`;
    const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(at + 2 * i).toString(16));
    return `[${groups.join(":")}]:${port}`;
  };
  return {
    kind: size === 4 ? "tcp4" : "tcp6",
    source: text(16, 16 + 2 * size),
    destination: text(16 + size, 18 + 2 * size),
    end,
  };
}
