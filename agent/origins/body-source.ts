import type { Framing } from "../../shared/http1/framing.ts";
import type { Stream } from "../../shared/mux/stream.ts";

/** A stream's DATA as the ReadableStream of a Request: what the reader has not taken gives the visitor no credit. */
export class BodySource {
  /** The request's body has come as a whole. */
  complete = false;
  receivedBytes = 0;
  readonly #stream: Stream;
  readonly #framing: Framing;
  readonly #firstRead: () => void;
  readonly #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  /** The reader has asked and not been given. */
  #asked = false;
  #readBefore = false;
  /** Nobody will read (any more): what comes is dropped. */
  #unread = true;
  #failed = false;

  /** `firstRead` is called when somebody begins to read, which is when a visitor who waits for `100 Continue` gets it. */
  constructor(stream: Stream, framing: Framing, firstRead: () => void) {
    this.#stream = stream;
    this.#framing = framing;
    this.#firstRead = firstRead;
  }

  /** The body for a Request; undefined where the request announced none. */
  stream(): ReadableStream<Uint8Array> | undefined {
    if (this.#framing.kind === "none") return undefined;
    this.#unread = false;
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: () => this.#pull(),
        cancel: () => {
          this.#unread = true;
          this.#drop();
        },
      },
      { highWaterMark: 0 },
    );
  }

  /** false: more than was announced (PROTOCOL.md section 7). */
  data(bytes: Uint8Array): boolean {
    this.receivedBytes += bytes.length;
    const { kind } = this.#framing;
    if (kind === "none" && bytes.length > 0) return false;
    if (this.#framing.kind === "length" && this.receivedBytes > this.#framing.bytes) return false;
    if (this.#unread) {
      this.#stream.held(0);
    } else if (this.#asked && this.#waiting.length === 0) {
      this.#give(bytes);
    } else {
      this.#waiting.push(bytes);
      this.#waitingBytes += bytes.length;
      this.#stream.held(this.#waitingBytes);
    }
    return true;
  }

  /** false: less than was announced. */
  end(): boolean {
    this.complete = true;
    if (this.#framing.kind === "length" && this.receivedBytes !== this.#framing.bytes) return false;
    if (this.#waiting.length === 0 && !this.#unread) this.#controller?.close();
    return true;
  }

  /** The exchange was aborted: whoever reads gets an error. */
  fail(): void {
    const finished = this.complete && this.#waiting.length === 0;
    if (!this.#unread && !finished && !this.#failed) {
      this.#failed = true;
      this.#controller?.error(new DOMException("The visitor went away.", "AbortError"));
    }
    this.#unread = true;
    this.#drop();
  }

  #pull(): void {
    if (!this.#readBefore) {
      this.#readBefore = true;
      this.#firstRead();
    }
    this.#asked = true;
    const bytes = this.#waiting.shift();
    if (bytes === undefined) return;
    this.#waitingBytes -= bytes.length;
    this.#give(bytes);
    if (this.complete && this.#waiting.length === 0) this.#controller?.close();
  }

  #give(bytes: Uint8Array): void {
    this.#asked = false;
    this.#controller?.enqueue(bytes);
    this.#stream.held(this.#waitingBytes);
  }

  #drop(): void {
    this.#waiting.length = 0;
    this.#waitingBytes = 0;
    this.#stream.held(0);
  }
}
