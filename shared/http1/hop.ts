import { fieldValue, isNamed } from "./head.ts";
import { isWordAt, Mark } from "./marks.ts";
import { markParts, type ReadLines } from "./read-head.ts";

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
const keepAlive = new TextEncoder().encode("keep-alive");
const close = new TextEncoder().encode("close");

/**
 * The lines of this hop alone, for who copies the rest as bytes: in pairs, where each begins and where the next one does.
 * undefined: Connection names more than keep-alive or close, so that it takes `withoutHopByHop`. `isFalse`: whether a line
 * of that name, which looks like a relay's own (`Mark.claim`), is to go as well.
 */
export function linesOfThisHop(
  head: ReadLines,
  isFalse?: (name: string) => boolean,
): readonly number[] | undefined {
  const { bytes, marked } = head;
  let lines: number[] | undefined;
  for (let i = 0; i < marked.length; i += markParts) {
    const mark = marked[i] ?? 0;
    const from = marked[i + 1] ?? 0;
    if (mark === Mark.connection) {
      const valueFrom = marked[i + 2] ?? 0;
      const valueTo = marked[i + 3] ?? 0;
      if (!isWordAt(bytes, valueFrom, valueTo, keepAlive) && !isWordAt(bytes, valueFrom, valueTo, close))
        return undefined;
    } else if (
      mark === Mark.claim
        ? isFalse?.(head.nameAt(from)) !== true
        : mark !== Mark.upgrade && mark !== Mark.ofThisHop
    )
      continue;
    lines ??= [];
    lines.push(from, marked[i + 4] ?? 0);
  }
  return lines ?? nowhere;
}

/** Whether a line has this mark. */
export function hasMark({ marked }: ReadLines, mark: number): boolean {
  for (let i = 0; i < marked.length; i += markParts) if (marked[i] === mark) return true;
  return false;
}

/** Whether the Connection fields name that, in lower case. */
export function connectionNames(head: ReadLines, name: "close" | "keep-alive" | "upgrade"): boolean {
  const { bytes, marked } = head;
  let word: "close" | "keep-alive" | undefined;
  for (let i = 0; i < marked.length; i += markParts) {
    if (marked[i] !== Mark.connection) continue;
    const valueFrom = marked[i + 2] ?? 0;
    const valueTo = marked[i + 3] ?? 0;
    // Nearly every head that has one says one of two words: no text is made for those.
    const usual = isWordAt(bytes, valueFrom, valueTo, keepAlive)
      ? "keep-alive"
      : isWordAt(bytes, valueFrom, valueTo, close)
        ? "close"
        : undefined;
    if (usual === undefined || (word !== undefined && word !== usual))
      return namedByConnection(head.fields).has(name);
    word = usual;
  }
  return word === name;
}

/** The lower-case names in all Connection fields: options (`close`, `keep-alive`, `upgrade`) and fields of this hop. */
export function namedByConnection(fields: readonly string[]): ReadonlySet<string> {
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
