import { HttpFault, type HttpFaultCode } from "./fault.ts";
import { decodeLatin1, decodeMostly } from "./latin1.ts";

/** What stands before a request's body, as it came. */
export interface RequestHead {
  readonly method: string;
  /** Raw: never decoded, never normalised. */
  readonly target: string;
  /** 0 for HTTP/1.0, 1 for HTTP/1.1. */
  readonly minor: 0 | 1;
  /** name, value, name, value ...: raw case and order, values without surrounding whitespace, one character a byte. */
  readonly fields: string[];
}

/** What stands before a response's body, as it came. */
export interface ResponseHead {
  readonly status: number;
  readonly reason: string;
  readonly minor: 0 | 1;
  readonly fields: string[];
}

// Classes of bytes. A table look-up a byte costs a third of a regular expression a field.
const token = 1;
const valueText = 2;
const targetText = 4;
const wrongInWindows1252 = 8;
const classes = new Uint8Array(256);
for (let byte = 0; byte < 256; byte++) {
  const visible = byte > 0x20 && byte !== 0x7f;
  if (visible || byte === 0x20 || byte === 0x09) classes[byte] = valueText;
  if (visible) classes[byte] = valueText | targetText;
  if (byte >= 0x80 && byte < 0xa0) classes[byte] = valueText | targetText | wrongInWindows1252;
}
for (const char of "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
  const byte = char.charCodeAt(0);
  classes[byte] = (classes[byte] ?? 0) | token;
}

const CR = 13;
const LF = 10;
const SP = 32;
const HTAB = 9;
const COLON = 58;

/** Parses a request line and field lines (each with CRLF; the empty line may follow). Strict: RFC 9112 without leniency. */
export function parseRequestHead(bytes: Uint8Array): RequestHead | HttpFault {
  let at = 0;
  let seen = 0;
  let kind = classes[bytes[at] ?? 0] ?? 0;
  while ((kind & token) !== 0) kind = classes[bytes[++at] ?? 0] ?? 0;
  const methodEnd = at;
  if (methodEnd === 0 || bytes[at] !== SP) return bad("The method is not a token followed by one space.");
  kind = classes[bytes[++at] ?? 0] ?? 0;
  while ((kind & targetText) !== 0) {
    seen |= kind;
    kind = classes[bytes[++at] ?? 0] ?? 0;
  }
  const targetEnd = at;
  if (targetEnd === methodEnd + 1 || bytes[at] !== SP) {
    return bad("The request line is not: method, one space, target, one space, version.");
  }
  const minor = version(bytes, at + 1);
  if (minor === undefined) return bad("The request line does not end in HTTP/1.1 or HTTP/1.0.");
  at += 9;
  if (bytes[at] !== CR || bytes[at + 1] !== LF)
    return bad("The request line does not end in CRLF after the version.");
  if (minor === "refused")
    return new HttpFault("version-refused", "The version is neither HTTP/1.1 nor HTTP/1.0.");
  const text = decode(bytes, seen);
  const fields = parseFields(bytes, at + 2, text, "request-invalid");
  if (fields instanceof HttpFault) return fields;
  return { method: text.slice(0, methodEnd), target: text.slice(methodEnd + 1, targetEnd), minor, fields };
}

/** Parses a status line and field lines (each with CRLF; the empty line may follow). Faults are `origin-invalid`. */
export function parseResponseHead(bytes: Uint8Array): ResponseHead | HttpFault {
  const minor = version(bytes, 0);
  if (minor === undefined || minor === "refused")
    return badAnswer("It does not begin with HTTP/1.1 or HTTP/1.0.");
  const hundreds = digit(bytes[9]);
  const tens = digit(bytes[10]);
  const ones = digit(bytes[11]);
  if (bytes[8] !== SP || hundreds < 1 || tens < 0 || ones < 0) {
    return badAnswer("The status is not three digits after one space.");
  }
  let at = 12;
  // "HTTP/1.1 200" without the space before an empty reason is wrong by the RFC, but harmless and seen in the wild.
  if (bytes[at] === SP) at++;
  else if (bytes[at] !== CR) return badAnswer("The status is not three digits before a space.");
  const reasonStart = at;
  let seen = 0;
  let kind = classes[bytes[at] ?? 0] ?? 0;
  while ((kind & valueText) !== 0) {
    seen |= kind;
    kind = classes[bytes[++at] ?? 0] ?? 0;
  }
  if (bytes[at] !== CR || bytes[at + 1] !== LF) return badAnswer("The status line does not end in CRLF.");
  const text = decode(bytes, seen);
  const fields = parseFields(bytes, at + 2, text, "origin-invalid");
  if (fields instanceof HttpFault) return fields;
  return { status: hundreds * 100 + tens * 10 + ones, reason: text.slice(reasonStart, at), minor, fields };
}

/** Parses field lines alone (trailers), each with CRLF; the empty line may follow. */
export function parseTrailers(bytes: Uint8Array, code: HttpFaultCode): string[] | HttpFault {
  return parseFields(bytes, 0, decodeMostly(bytes), code);
}

/** `text` is all of `bytes`, where 0x80 to 0x9f may be wrong. */
function parseFields(
  bytes: Uint8Array,
  from: number,
  text: string,
  code: HttpFaultCode,
): string[] | HttpFault {
  const fields: string[] = [];
  const end = bytes.length;
  let at = from;
  while (at < end) {
    if (bytes[at] === CR) {
      if (bytes[at + 1] === LF && at + 2 === end) break;
      return new HttpFault(
        code,
        "The empty line stands before the end of the head, or a CR without LF does.",
      );
    }
    const nameStart = at;
    while (((classes[bytes[at] ?? 0] ?? 0) & token) !== 0) at++;
    // A space here is either before the colon or the start of a folded line: both have been used to smuggle requests.
    if (at === nameStart || bytes[at] !== COLON)
      return new HttpFault(code, "A field's name is not a token followed by a colon.");
    const nameEnd = at++;
    while (bytes[at] === SP || bytes[at] === HTAB) at++;
    const valueStart = at;
    let seen = 0;
    let kind = classes[bytes[at] ?? 0] ?? 0;
    while ((kind & valueText) !== 0) {
      seen |= kind;
      kind = classes[bytes[++at] ?? 0] ?? 0;
    }
    if (bytes[at] !== CR || bytes[at + 1] !== LF) {
      return new HttpFault(
        code,
        `The value of ${text.slice(nameStart, nameEnd)} has a control character or no CRLF.`,
      );
    }
    let valueEnd = at;
    while (valueEnd > valueStart && (bytes[valueEnd - 1] === SP || bytes[valueEnd - 1] === HTAB)) valueEnd--;
    const wrong = (seen & wrongInWindows1252) !== 0;
    const value = wrong
      ? decodeLatin1(bytes.subarray(valueStart, valueEnd))
      : text.slice(valueStart, valueEnd);
    fields.push(text.slice(nameStart, nameEnd), value);
    at += 2;
  }
  return fields;
}

/** The request line and the field lines, each with CRLF, without the empty line. */
export function writeRequestHead(head: RequestHead): string {
  return `${head.method} ${head.target} HTTP/1.${head.minor}\r\n${writeFields(head.fields)}`;
}

/** The status line and the field lines, each with CRLF, without the empty line. */
export function writeResponseHead(head: ResponseHead): string {
  return `HTTP/1.${head.minor} ${head.status} ${head.reason}\r\n${writeFields(head.fields)}`;
}

/** A whole head on its way: `head` without its empty line, as it came, then `lines` (each with CRLF), then the empty line. */
export function closeHead(head: Uint8Array, lines = ""): Uint8Array {
  const { length } = head;
  const whole = new Uint8Array(length + lines.length + 2);
  whole.set(head);
  for (let i = 0; i < lines.length; i++) whole[length + i] = lines.charCodeAt(i);
  whole[whole.length - 2] = 13;
  whole[whole.length - 1] = 10;
  return whole;
}

/** Field lines alone, each with CRLF. */
export function writeFields(fields: readonly string[]): string {
  let text = "";
  for (let i = 0; i + 1 < fields.length; i += 2) text += `${fields[i]}: ${fields[i + 1]}\r\n`;
  return text;
}

/** The first value of a field, or undefined. */
export function fieldValue(fields: readonly string[], lowerName: string): string | undefined {
  for (let i = 0; i < fields.length; i += 2) if (isNamed(fields[i], lowerName)) return fields[i + 1];
  return undefined;
}

/** Compares a raw name with a lower-case one; the length settles most cases without making a string. */
export function isNamed(name: string | undefined, lowerName: string): boolean {
  return (
    name !== undefined &&
    name.length === lowerName.length &&
    (name === lowerName || name.toLowerCase() === lowerName)
  );
}

function decode(bytes: Uint8Array, seen: number): string {
  return (seen & wrongInWindows1252) !== 0 ? decodeLatin1(bytes) : decodeMostly(bytes);
}

/** "HTTP/1.x" at `at`: 0 or 1; "refused" when it is HTTP of another version; undefined when it is none. */
function version(bytes: Uint8Array, at: number): 0 | 1 | "refused" | undefined {
  if (bytes[at] !== 72 || bytes[at + 1] !== 84 || bytes[at + 2] !== 84 || bytes[at + 3] !== 80)
    return undefined;
  const minor = digit(bytes[at + 7]);
  if (bytes[at + 4] !== 47 || digit(bytes[at + 5]) < 0 || bytes[at + 6] !== 46 || minor < 0) return undefined;
  if (bytes[at + 5] !== 49) return "refused";
  return minor === 1 || minor === 0 ? minor : "refused";
}

function digit(byte: number | undefined): number {
  return byte !== undefined && byte >= 48 && byte <= 57 ? byte - 48 : -1;
}

function bad(message: string): HttpFault {
  return new HttpFault("request-invalid", message);
}

function badAnswer(message: string): HttpFault {
  return new HttpFault("origin-invalid", message);
}
