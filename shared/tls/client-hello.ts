import { decodeLatin1 } from "../http1/latin1.ts";
import { alerts } from "./alert.ts";
import { ByteReader } from "./byte-reader.ts";
import { ClientHelloFault } from "./client-hello-fault.ts";

/** What a TLS visitor says in the clear before any key is agreed. */
export interface ClientHello {
  readonly kind: "hello";
  /** The server name as it was sent: printable ASCII, any case. Of an encrypted ClientHello it is the outer one. */
  readonly sni?: string;
  /** The protocols on offer (RFC 7301), the dearest first; each byte is one character. */
  readonly alpn?: readonly string[];
}

const extensions = { serverName: 0, alpn: 16 } as const;
const hostNameType = 0;
const maxSessionIdBytes = 32;

/**
 * Reads the body of a ClientHello (RFC 8446 section 4.1.2; the same in all versions since TLS 1.0): as much as finding
 * two of its extensions takes. The rest is between the visitor and the origin.
 */
export function readClientHello(body: Uint8Array): ClientHello | ClientHelloFault {
  const reader = new ByteReader(body);
  reader.take(2 + 32);
  const sessionId = reader.vector8();
  const ciphers = reader.vector16();
  const compressions = reader.vector8();
  const isSound =
    sessionId.length <= maxSessionIdBytes &&
    ciphers.length >= 2 &&
    ciphers.length % 2 === 0 &&
    compressions.length >= 1;
  if (reader.failed || !isSound) return malformed("The ClientHello is malformed.");
  // Before TLS 1.3 there may be none.
  if (reader.left === 0) return { kind: "hello" };
  const list = new ByteReader(reader.vector16());
  if (reader.failed || reader.left > 0) return malformed("The extensions' length is wrong.");
  let sni: string | undefined;
  let alpn: readonly string[] | undefined;
  while (list.left > 0) {
    const type = list.u16();
    const data = list.vector16();
    if (list.failed) return malformed("An extension's length is wrong.");
    // Section 4.2 forbids a second one; the origin might read the other.
    if (type === extensions.serverName) {
      if (sni !== undefined) return illegal("Two server_name extensions.");
      const found = serverName(data);
      if (typeof found !== "string") return found;
      sni = found;
    } else if (type === extensions.alpn) {
      if (alpn !== undefined) return illegal("Two ALPN extensions.");
      alpn = protocolNames(data);
      if (alpn === undefined) return malformed("The ALPN extension is malformed.");
    }
  }
  return { kind: "hello", ...(sni !== undefined && { sni }), ...(alpn && { alpn }) };
}

/** RFC 6066 section 3. */
function serverName(data: Uint8Array): string | ClientHelloFault {
  const reader = new ByteReader(data);
  const list = new ByteReader(reader.vector16());
  let name: string | undefined;
  while (list.left > 0) {
    const type = list.u8();
    // Names of types to come have to begin with their length as well. One that is cut off comes out empty.
    const value = list.vector16();
    if (value.length === 0) return malformed("A server name's length is wrong.");
    if (type !== hostNameType) continue;
    if (name !== undefined) return illegal("Several server names.");
    if (!value.every((byte) => byte > 0x20 && byte < 0x7f))
      return illegal("The server name has bytes that no name has.");
    name = decodeLatin1(value);
  }
  if (reader.failed || reader.left > 0 || name === undefined)
    return malformed("The server_name extension is malformed.");
  return name;
}

/** RFC 7301 section 3.1. */
function protocolNames(data: Uint8Array): readonly string[] | undefined {
  const reader = new ByteReader(data);
  const list = new ByteReader(reader.vector16());
  const names: string[] = [];
  while (list.left > 0) {
    const name = list.vector8();
    if (name.length === 0) return undefined;
    names.push(decodeLatin1(name));
  }
  return reader.failed || reader.left > 0 || names.length === 0 ? undefined : names;
}

function malformed(message: string): ClientHelloFault {
  return new ClientHelloFault(alerts.decodeError, message);
}

function illegal(message: string): ClientHelloFault {
  return new ClientHelloFault(alerts.illegalParameter, message);
}
