import { sha1 } from "@noble/hashes/legacy.js";

/** RFC 6455 section 1.3. */
const acceptSalt = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** Flat name, value, name, value ... as shared/http1/head.ts gives it. */
type Fields = readonly string[];

/** `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key` (RFC 6455 section 4.2.2). */
export function acceptKey(key: string): string {
  return btoa(String.fromCharCode(...sha1(new TextEncoder().encode(key + acceptSalt))));
}

/** A `Sec-WebSocket-Key` out of 16 random bytes. */
export function newKey(random: Uint8Array): string {
  return btoa(String.fromCharCode(...random));
}

/** The elements of a comma list over all fields of that name (`name` in lower case). */
export function listOf(fields: Fields, name: string): string[] {
  const found: string[] = [];
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const field = fields[i] ?? "";
    // Most differ in length: a dial looks through its fields eight times.
    if (field.length !== name.length || field.toLowerCase() !== name) continue;
    for (const element of (fields[i + 1] ?? "").split(",")) {
      const trimmed = element.trim();
      if (trimmed !== "") found.push(trimmed);
    }
  }
  return found;
}

const has = (fields: Fields, name: string, token: string): boolean =>
  listOf(fields, name).some((element) => element.toLowerCase() === token);

/** What a dialling side asked for, once checked. */
export interface UpgradeRequest {
  readonly key: string;
  /** In the order of preference. */
  readonly protocols: readonly string[];
}

/** Checks the opening request's fields (RFC 6455 section 4.2.1). A string says what is wrong with them. */
export function checkUpgradeRequest(fields: Fields): UpgradeRequest | string {
  if (!has(fields, "upgrade", "websocket")) return "Upgrade does not name websocket.";
  if (!has(fields, "connection", "upgrade")) return "Connection does not name Upgrade.";
  const versions = listOf(fields, "sec-websocket-version");
  if (versions.length !== 1 || versions[0] !== "13") return "Sec-WebSocket-Version is not 13.";
  const [key, ...others] = listOf(fields, "sec-websocket-key");
  if (key === undefined || others.length > 0 || !/^[A-Za-z0-9+/]{22}==$/.test(key))
    return "Sec-WebSocket-Key is not one base64 text of 16 bytes.";
  return { key, protocols: listOf(fields, "sec-websocket-protocol") };
}

/** The fields of the 101 that accepts (section 4.2.2); `protocol` is one of those asked for. */
export function acceptFields(key: string, protocol: string): string[] {
  const fields = ["Upgrade", "websocket", "Connection", "Upgrade", "Sec-WebSocket-Accept", acceptKey(key)];
  return [...fields, "Sec-WebSocket-Protocol", protocol];
}

/** Checks the fields of a 101 (section 4.1) that must choose `protocol`. A string says what is wrong with them. */
export function checkUpgradeAnswer(fields: Fields, key: string, protocol: string): string | undefined {
  const wrong = refusalOfUpgrade(fields, key, [protocol]);
  if (wrong !== undefined || listOf(fields, "sec-websocket-protocol").length === 1) return wrong;
  return `The subprotocol ${protocol} was not chosen.`;
}

/** The same where the answer may choose one of `offered`, or none. */
export function refusalOfUpgrade(
  fields: Fields,
  key: string,
  offered: readonly string[],
): string | undefined {
  if (!has(fields, "upgrade", "websocket")) return "Upgrade does not name websocket.";
  if (!has(fields, "connection", "upgrade")) return "Connection does not name Upgrade.";
  const accept = listOf(fields, "sec-websocket-accept");
  if (accept.length !== 1 || accept[0] !== acceptKey(key))
    return "Sec-WebSocket-Accept does not fit the key.";
  if (listOf(fields, "sec-websocket-extensions").length > 0)
    return "An extension was chosen that nobody asked for.";
  const [chosen, ...others] = listOf(fields, "sec-websocket-protocol");
  if (others.length > 0 || (chosen !== undefined && !offered.includes(chosen)))
    return "A subprotocol was chosen that nobody asked for.";
  return undefined;
}
