import { HttpFault, type HttpFaultCode } from "./fault.ts";
import type { RequestHead, ResponseHead } from "./head.ts";
import { decodeLatin1, decodeMostly } from "./latin1.ts";
import { markOf } from "./marks.ts";

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

/** How many numbers `ReadLines.marked` has for each line. */
export const markParts = 5;

/**
 * Field lines as they were read: their bytes, and where in them those stand that somebody on the way acts on. Most only
 * pass through, so text is made of them when it is asked for and not before: with text of all lines, reading heads
 * took half of what a small request cost.
 */
export class ReadLines {
  /** Where the last line ends in `bytes`: the empty line comes there. */
  to: number;
  /** Five numbers for each marked line: its `Mark`, where it begins, where its value begins and ends, where the next line begins. */
  readonly marked: number[] = [];
  /** Classes of the bytes that are in no name. */
  private seen = 0;
  private made: string[] | undefined;
  private wholeText: string | undefined;

  /** `from`: where in `bytes`, which are kept as long as this is, the head begins. The lines follow at `linesFrom`. */
  constructor(
    readonly bytes: Uint8Array,
    readonly from: number,
    protected readonly linesFrom: number,
  ) {
    this.to = linesFrom;
  }

  /** name, value, name, value ...: raw case and order, values without surrounding whitespace, one character a byte. */
  get fields(): string[] {
    this.made ??= this.makeFields();
    return this.made;
  }

  /** The name of the field whose line begins there in `bytes`. */
  nameAt(from: number): string {
    return this.slice(from, this.bytes.indexOf(COLON, from));
  }

  /** What stands between two places in `bytes`, one character a byte. */
  protected slice(from: number, to: number): string {
    this.wholeText ??= this.decode();
    return this.wholeText.slice(from - this.from, to - this.from);
  }

  /** The value of the first line with that mark. */
  firstOf(mark: number): string | undefined {
    const { marked } = this;
    for (let i = 0; i < marked.length; i += markParts)
      if (marked[i] === mark) return this.slice(marked[i + 2] ?? 0, marked[i + 3] ?? 0);
    return undefined;
  }

  /** Reads the lines up to `end`, with or without the empty line. `seen`: classes of bytes before. Returns what is wrong with them. */
  read(end: number, seen: number): string | undefined {
    const { bytes, marked } = this;
    let at = this.linesFrom;
    let all = seen;
    while (at < end) {
      if (bytes[at] === CR) {
        if (bytes[at + 1] === LF && at + 2 === end) break;
        return "The empty line stands before the end of the head, or a CR without LF does.";
      }
      const nameFrom = at;
      while (((classes[bytes[at] ?? 0] ?? 0) & token) !== 0) at++;
      // A space here is either before the colon or the start of a folded line: both have been used to smuggle requests.
      if (at === nameFrom || bytes[at] !== COLON) return "A field's name is not a token followed by a colon.";
      const nameTo = at++;
      while (bytes[at] === SP || bytes[at] === HTAB) at++;
      const valueFrom = at;
      let kind = classes[bytes[at] ?? 0] ?? 0;
      while ((kind & valueText) !== 0) {
        all |= kind;
        kind = classes[bytes[++at] ?? 0] ?? 0;
      }
      // What follows in `bytes` is none of the head's.
      if (bytes[at] !== CR || bytes[at + 1] !== LF || at + 2 > end) {
        const name = decodeLatin1(bytes.subarray(nameFrom, Math.min(nameTo, end)));
        return `The value of ${name} has a control character or no CRLF.`;
      }
      const mark = markOf(bytes, nameFrom, nameTo);
      if (mark !== 0) marked.push(mark, nameFrom, valueFrom, trimmed(bytes, valueFrom, at), at + 2);
      at += 2;
    }
    this.to = at;
    this.seen = all;
    return undefined;
  }

  private makeFields(): string[] {
    const { bytes, to } = this;
    const fields: string[] = [];
    for (let at = this.linesFrom; at < to; ) {
      const nameTo = bytes.indexOf(COLON, at);
      let valueFrom = nameTo + 1;
      while (bytes[valueFrom] === SP || bytes[valueFrom] === HTAB) valueFrom++;
      const lineTo = bytes.indexOf(CR, valueFrom);
      fields.push(this.slice(at, nameTo), this.slice(valueFrom, trimmed(bytes, valueFrom, lineTo)));
      at = lineTo + 2;
    }
    return fields;
  }

  private decode(): string {
    const { from, to } = this;
    const bytes = from === 0 && to === this.bytes.length ? this.bytes : this.bytes.subarray(from, to);
    return (this.seen & wrongInWindows1252) !== 0 ? decodeLatin1(bytes) : decodeMostly(bytes);
  }
}

/** A request's head that was read strictly. */
export class ReadRequestHead extends ReadLines implements RequestHead {
  constructor(
    bytes: Uint8Array,
    from: number,
    linesFrom: number,
    readonly method: string,
    readonly minor: 0 | 1,
    private readonly targetFrom: number,
    private readonly targetTo: number,
  ) {
    super(bytes, from, linesFrom);
  }

  get target(): string {
    return this.slice(this.targetFrom, this.targetTo);
  }
}

/** A response's head that was read strictly. */
export class ReadResponseHead extends ReadLines implements ResponseHead {
  constructor(
    bytes: Uint8Array,
    from: number,
    linesFrom: number,
    readonly status: number,
    readonly minor: 0 | 1,
    private readonly reasonFrom: number,
  ) {
    super(bytes, from, linesFrom);
  }

  get reason(): string {
    return this.slice(this.reasonFrom, this.linesFrom - 2);
  }
}

/**
 * Reads the head of a request that stands in `bytes`: the request line and field lines, each with CRLF; the empty line may
 * follow. Strict: RFC 9112 without leniency.
 */
export function parseRequestHead(
  bytes: Uint8Array,
  from = 0,
  to = bytes.length,
): ReadRequestHead | HttpFault {
  let at = from;
  let seen = 0;
  let kind = classes[bytes[at] ?? 0] ?? 0;
  while ((kind & token) !== 0) kind = classes[bytes[++at] ?? 0] ?? 0;
  const methodTo = at;
  if (methodTo === from || bytes[at] !== SP) return bad("The method is not a token followed by one space.");
  kind = classes[bytes[++at] ?? 0] ?? 0;
  while ((kind & targetText) !== 0) {
    seen |= kind;
    kind = classes[bytes[++at] ?? 0] ?? 0;
  }
  const targetTo = at;
  if (targetTo === methodTo + 1 || bytes[at] !== SP) {
    return bad("The request line is not: method, one space, target, one space, version.");
  }
  const minor = version(bytes, at + 1);
  if (minor === undefined) return bad("The request line does not end in HTTP/1.1 or HTTP/1.0.");
  at += 9;
  if (bytes[at] !== CR || bytes[at + 1] !== LF || at + 2 > to)
    return bad("The request line does not end in CRLF after the version.");
  if (minor === "refused")
    return new HttpFault("version-refused", "The version is neither HTTP/1.1 nor HTTP/1.0.");
  const method = methodText(bytes, from, methodTo);
  const head = new ReadRequestHead(bytes, from, at + 2, method, minor, methodTo + 1, targetTo);
  const fault = head.read(to, seen);
  return fault === undefined ? head : bad(fault);
}

/** The same of a response: status line and field lines. Faults are `origin-invalid`. */
export function parseResponseHead(
  bytes: Uint8Array,
  from = 0,
  to = bytes.length,
): ReadResponseHead | HttpFault {
  const minor = version(bytes, from);
  if (minor === undefined || minor === "refused")
    return badAnswer("It does not begin with HTTP/1.1 or HTTP/1.0.");
  const hundreds = digit(bytes[from + 9]);
  const tens = digit(bytes[from + 10]);
  const ones = digit(bytes[from + 11]);
  if (bytes[from + 8] !== SP || hundreds < 1 || tens < 0 || ones < 0) {
    return badAnswer("The status is not three digits after one space.");
  }
  let at = from + 12;
  // "HTTP/1.1 200" without the space before an empty reason is wrong by the RFC, but harmless and seen in the wild.
  if (bytes[at] === SP) at++;
  else if (bytes[at] !== CR) return badAnswer("The status is not three digits before a space.");
  const reasonFrom = at;
  let seen = 0;
  let kind = classes[bytes[at] ?? 0] ?? 0;
  while ((kind & valueText) !== 0) {
    seen |= kind;
    kind = classes[bytes[++at] ?? 0] ?? 0;
  }
  if (bytes[at] !== CR || bytes[at + 1] !== LF || at + 2 > to)
    return badAnswer("The status line does not end in CRLF.");
  const status = hundreds * 100 + tens * 10 + ones;
  const head = new ReadResponseHead(bytes, from, at + 2, status, minor, reasonFrom);
  const fault = head.read(to, seen);
  return fault === undefined ? head : badAnswer(fault);
}

/** Reads field lines alone (trailers), each with CRLF; the empty line may follow. */
export function parseTrailers(bytes: Uint8Array, code: HttpFaultCode): string[] | HttpFault {
  const lines = new ReadLines(bytes, 0, 0);
  const fault = lines.read(bytes.length, 0);
  return fault === undefined ? lines.fields : new HttpFault(code, fault);
}

const usualMethods = ["GET", "POST", "PUT", "HEAD", "PATCH", "DELETE", "OPTIONS"].map((text) => ({
  text,
  bytes: new TextEncoder().encode(text),
}));

function methodText(bytes: Uint8Array, from: number, to: number): string {
  for (const usual of usualMethods) if (isAt(bytes, from, to, usual.bytes)) return usual.text;
  return decodeMostly(bytes.subarray(from, to));
}

function isAt(bytes: Uint8Array, from: number, to: number, text: Uint8Array): boolean {
  if (to - from !== text.length) return false;
  for (let i = 0; i < text.length; i++) if (bytes[from + i] !== text[i]) return false;
  return true;
}

/** Where a value ends that reaches to `to`, without the whitespace at its end. */
function trimmed(bytes: Uint8Array, from: number, to: number): number {
  let at = to;
  while (at > from && (bytes[at - 1] === SP || bytes[at - 1] === HTAB)) at--;
  return at;
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
