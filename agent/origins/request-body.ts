import { chunkEnd, chunkStart, lastChunk } from "../../shared/http1/chunked.ts";
import type { Framing } from "../../shared/http1/framing.ts";
import { encodeLatin1 } from "../../shared/http1/latin1.ts";

const nothing = new Uint8Array(0);

/** Frames the body of a request for the origin, and holds it to what its head announces. */
export class RequestBody {
  /** Bytes of the body, without framing. */
  bytes = 0;
  /** Nothing more belongs on the wire. */
  complete: boolean;
  readonly #chunked: boolean;
  /** How much is to come; infinite where it is chunked. */
  #left: number;
  #trailers: readonly string[] | undefined;

  constructor(framing: Framing) {
    this.#chunked = framing.kind === "chunked";
    this.#left = framing.kind === "length" ? framing.bytes : this.#chunked ? Number.POSITIVE_INFINITY : 0;
    this.complete = this.#left === 0;
  }

  /** What to write for `bytes` of the body; undefined when that is more than was announced. */
  data(bytes: Uint8Array): Uint8Array | undefined {
    const { length } = bytes;
    if (length > this.#left || this.#trailers !== undefined) return undefined;
    this.bytes += length;
    this.#left -= length;
    if (this.#left === 0) this.complete = true;
    if (!this.#chunked || length === 0) return bytes;
    // One copy and one write cost less than three writes.
    const start = encodeLatin1(chunkStart(length));
    const framed = new Uint8Array(start.length + length + chunkEnd.length);
    framed.set(start);
    framed.set(bytes, start.length);
    framed.set(encodeLatin1(chunkEnd), start.length + length);
    return framed;
  }

  /** Trailers for the end. false: the body has no place for them, or has them already. */
  trailers(fields: readonly string[]): boolean {
    if (!this.#chunked || this.#trailers !== undefined) return false;
    this.#trailers = fields;
    return true;
  }

  /** What to write at the end; undefined when the body is shorter than announced. */
  end(): Uint8Array | undefined {
    if (!this.#chunked) return this.complete ? nothing : undefined;
    this.complete = true;
    return encodeLatin1(lastChunk(this.#trailers));
  }
}
