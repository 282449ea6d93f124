import { fieldValue, isNamed } from "./head.ts";

/** Fields that concern one hop alone, whether Connection names them or not (RFC 9110 section 7.6.1 and older habits). */
const hopByHop = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "proxy-authorization",
  "proxy-authenticate",
  "te",
  "upgrade",
]);

/** `Connection: NAME` must not remove what routing, framing, or the origin's own checks rest on. */
const protectedNames = new Set([
  "host",
  "content-length",
  "transfer-encoding",
  "trailer",
  "content-type",
  "content-encoding",
  "content-range",
  "range",
  "authorization",
  "cookie",
  "set-cookie",
  "cache-control",
  "date",
  "expect",
  "location",
  "origin",
  "forwarded",
  "via",
  "sec-websocket-key",
  "sec-websocket-accept",
  "sec-websocket-version",
  "sec-websocket-protocol",
]);

/**
 * The fields less those of this hop. Transfer-Encoding stays: framing has made sure that it is `chunked`, and it tells
 * the next hop how the body is announced. With `keepUpgrade` an upgrade goes on as `Connection: upgrade` and the first Upgrade.
 * Returns the same array when there is nothing to remove.
 */
export function withoutHopByHop(fields: string[], options: { readonly keepUpgrade: boolean }): string[] {
  let found = false;
  for (let i = 0; i < fields.length && !found; i += 2) found = mayBeHopByHop(fields[i] ?? "");
  if (!found) return fields;
  const named = namedByConnection(fields);
  let upgrade = options.keepUpgrade && named.has("upgrade") && fieldValue(fields, "upgrade") !== undefined;
  let upgradeOption = upgrade;
  const kept: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? "";
    const lower = name.toLowerCase();
    if (upgradeOption && lower === "connection") {
      kept.push(name, "upgrade");
      upgradeOption = false;
    } else if (upgrade && lower === "upgrade") {
      kept.push(name, fields[i + 1] ?? "");
      upgrade = false;
    }
    if (hopByHop.has(lower)) continue;
    if (named.has(lower) && !protectedNames.has(lower) && !lower.startsWith("x-forwarded-")) continue;
    kept.push(name, fields[i + 1] ?? "");
  }
  return kept;
}

const nowhere: readonly number[] = [];

/**
 * Where in `fields` those of this hop stand, for who copies the rest as bytes. undefined: Connection names more than
 * keep-alive or close, so that it takes `withoutHopByHop`.
 */
export function hopByHopPlaces(fields: readonly string[]): readonly number[] | undefined {
  let places: number[] | undefined;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? "";
    if (!mayBeHopByHop(name)) continue;
    const lower = name.toLowerCase();
    if (!hopByHop.has(lower)) continue;
    if (lower === "connection" && !isNamed(fields[i + 1], "keep-alive") && !isNamed(fields[i + 1], "close"))
      return undefined;
    places ??= [];
    places.push(i);
  }
  return places ?? nowhere;
}

const keepAliveAlone: ReadonlySet<string> = new Set(["keep-alive"]);
const closeAlone: ReadonlySet<string> = new Set(["close"]);

/** The lower-case names in all Connection fields: options (`close`, `keep-alive`, `upgrade`) and fields of this hop. */
export function namedByConnection(fields: readonly string[]): ReadonlySet<string> {
  // Nearly every head that has one says one of two words: no set is made for those.
  let only: string | undefined;
  for (let i = 0; i < fields.length; i += 2) {
    if (isNamed(fields[i], "connection")) only = only === undefined ? (fields[i + 1] ?? "") : "";
  }
  if (isNamed(only, "keep-alive")) return keepAliveAlone;
  if (isNamed(only, "close")) return closeAlone;
  const names = new Set<string>();
  for (let i = 0; i < fields.length; i += 2) {
    if (!isNamed(fields[i], "connection")) continue;
    for (const name of (fields[i + 1] ?? "").split(",")) names.add(name.trim().toLowerCase());
  }
  return names;
}

/** A quick look by length first: most fields of most heads are none. */
function mayBeHopByHop(name: string): boolean {
  switch (name.length) {
    case 2:
    case 7:
    case 10:
    case 16:
    case 18:
    case 19:
      return hopByHop.has(name.toLowerCase());
    default:
      return false;
  }
}
