import { HttpFault, type HttpFaultCode } from "./fault.ts";
import { writeFields } from "./head.ts";
import { maxChunkExtensionBytes, maxChunkLineBytes, maxTrailerBytes } from "./limits.ts";
import { parseTrailers } from "./read-head.ts";

/** What `ChunkedDecoder.next` met. `more`: the bytes are used up. */
export type ChunkedEvent = "data" | "more" | "done" | "fault";

const CR = 13;
const LF = 10;

/**
 * Reads a chunked body (RFC 9112 section 7.1) without copying: call `next` until it says `more`, `done` or `fault`.
 * Strict: hexadecimal digits directly followed by CRLF or `;`, CRLF after the data, everything bounded.
 */
export class ChunkedDecoder {
  /** After `data`: the body bytes are `bytes.subarray(dataFrom, at)`. */
  dataFrom = 0;
  /** Where reading goes on; after `done` the first byte that is not of this body. */
  at = 0;
  /** After `done`: the trailers, mostly none. */
  trailers: string[] = [];
  /** After `fault`. */
  fault: HttpFault | undefined;

  readonly #code: HttpFaultCode;
  #state: "size" | "extension" | "size-lf" | "data" | "data-cr" | "data-lf" | "trailer" = "size";
  /** The chunk's size while it is read, then how much of it is to come. */
  #left = 0;
  #digits = 0;
  #lineBytes = 0;
  #extensionBytes = 0;
  #trailer: Uint8Array = new Uint8Array(0);
  #trailerBytes = 0;
  #trailerLineBytes = 0;

  constructor(code: HttpFaultCode) {
    this.#code = code;
  }

  /** Goes on at `this.at` in `bytes`; set `at` to where the body begins in each new piece. */
  next(bytes: Uint8Array): ChunkedEvent {
    while (this.at < bytes.length) {
      const byte = bytes[this.at] ?? 0;
      switch (this.#state) {
        case "size": {
          this.at++;
          const digit = hexDigit(byte);
          if (digit >= 0) {
            // 13 hexadecimal digits stay below 2^53; leading zeros are counted too, which bounds them.
            if (++this.#digits > 13) return this.#fail("A chunk's size is too large.");
            this.#left = this.#left * 16 + digit;
          } else if (this.#digits === 0)
            return this.#fail("A chunk does not begin with its size in hexadecimal digits.");
          else if (byte === CR) this.#state = "size-lf";
          else if (byte === 0x3b) this.#state = "extension";
          else return this.#fail("A chunk's size is not followed by CRLF.");
          break;
        }
        case "extension":
          this.at++;
          if (byte === CR) this.#state = "size-lf";
          else if ((byte < 32 && byte !== 9) || byte === 127)
            return this.#fail("A control character in a chunk extension.");
          else if (++this.#lineBytes > maxChunkLineBytes || ++this.#extensionBytes > maxChunkExtensionBytes) {
            return this.#fail("Chunk extensions are too long.");
          }
          break;
        case "size-lf":
          this.at++;
          if (byte !== LF) return this.#fail("A chunk's size line has a CR without LF.");
          this.#digits = 0;
          this.#lineBytes = 0;
          this.#state = this.#left === 0 ? "trailer" : "data";
          break;
        case "data": {
          const length = Math.min(this.#left, bytes.length - this.at);
          this.dataFrom = this.at;
          this.at += length;
          this.#left -= length;
          if (this.#left === 0) this.#state = "data-cr";
          return "data";
        }
        case "data-cr":
          this.at++;
          if (byte !== CR) return this.#fail("A chunk is longer than its size says.");
          this.#state = "data-lf";
          break;
        case "data-lf":
          this.at++;
          if (byte !== LF) return this.#fail("A chunk's data does not end in CRLF.");
          this.#state = "size";
          break;
        case "trailer": {
          if (this.#trailerBytes === 0 && byte === CR && bytes[this.at + 1] === LF) {
            this.at += 2;
            return "done";
          }
          const event = this.#trailerByte(byte);
          if (event !== undefined) return event;
          break;
        }
      }
    }
    return "more";
  }

  /** Trailers are rare and short: copied byte by byte into one buffer, then parsed as field lines. */
  #trailerByte(byte: number): ChunkedEvent | undefined {
    this.at++;
    if (this.#trailerBytes === this.#trailer.length) {
      if (this.#trailerBytes >= maxTrailerBytes) return this.#fail("The trailers are too long.");
      const larger = new Uint8Array(Math.min(maxTrailerBytes, Math.max(64, this.#trailer.length * 2)));
      larger.set(this.#trailer);
      this.#trailer = larger;
    }
    this.#trailer[this.#trailerBytes++] = byte;
    if (byte !== LF) {
      this.#trailerLineBytes++;
      return undefined;
    }
    if (this.#trailer[this.#trailerBytes - 2] !== CR)
      return this.#fail("A trailer line ends in LF without CR.");
    if (this.#trailerLineBytes > 1) {
      this.#trailerLineBytes = 0;
      return undefined;
    }
    const fields = parseTrailers(this.#trailer.subarray(0, this.#trailerBytes), this.#code);
    if (fields instanceof HttpFault) {
      this.fault = fields;
      return "fault";
    }
    this.trailers = fields;
    return "done";
  }

  #fail(message: string): "fault" {
    this.fault = new HttpFault(this.#code, message);
    return "fault";
  }
}

/** What stands before a chunk's data. After the data comes CRLF (`chunkEnd`). `size` above 0. */
export function chunkStart(size: number): string {
  return `${size.toString(16)}\r\n`;
}

export const chunkEnd = "\r\n";

/** Ends a chunked body. */
export function lastChunk(trailers: readonly string[] = []): string {
  return `0\r\n${writeFields(trailers)}\r\n`;
}

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 0x20;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}
