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

/** The request line and the field lines, each with CRLF, without the empty line. */
export function writeRequestHead(head: RequestHead): string {
  return `${head.method} ${head.target} HTTP/1.${head.minor}\r\n${writeFields(head.fields)}`;
}

/** The status line and the field lines, each with CRLF, without the empty line. */
export function writeResponseHead(head: ResponseHead): string {
  return `HTTP/1.${head.minor} ${head.status} ${head.reason}\r\n${writeFields(head.fields)}`;
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
