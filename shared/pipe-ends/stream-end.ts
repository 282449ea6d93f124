import type { Code } from "../errors.ts";
import { decodeHead } from "../head.ts";
import { lastingBytes } from "../mux/own-bytes.ts";
import type { Stream, StreamHandler } from "../mux/stream.ts";
import type { PipeEnd, PipeHandler } from "../pipe.ts";
import { deafPipeHandler } from "./deaf.ts";
import { pauseAboveBytes } from "./socket-end.ts";

export interface StreamEndOptions {
  /**
   * For whoever opened the stream: the far end has accepted, called at the HEAD, which must come before anything else.
   * Without it a HEAD is a fault.
   */
  readonly opened?: () => void;
}

/** A stream of a session as the end of a pipe of bytes. */
export class StreamEnd implements PipeEnd {
  handler: PipeHandler = deafPipeHandler;
  /** The stream's handler, set already; whoever was asked for one (a session's `opened`) gives this back. */
  readonly receiver: StreamHandler;
  readonly #stream: Stream;
  #full = false;
  #ended = false;

  constructor(stream: Stream, { opened }: StreamEndOptions = {}) {
    this.#stream = stream;
    this.receiver = new StreamEar(stream, this, opened);
    stream.handler = this.receiver;
  }

  /** Weighs nothing while the stream takes more; else enough to pause any source, until it is writable. */
  write(bytes: Uint8Array): number {
    // After the end what is queued is the session's: no `writable` may come any more.
    if (this.#ended) return 0;
    this.#full = !this.#stream.give(lastingBytes(bytes));
    return this.#full ? Math.max(this.#stream.queued, pauseAboveBytes + 1) : 0;
  }

  end(): void {
    this.#ended = true;
    this.#stream.end();
  }

  abort(code: Code): void {
    this.#stream.reset(code);
  }

  held(bytes: number): void {
    this.#stream.held(bytes);
  }

  /** The stream takes more again. */
  writable(): void {
    if (!this.#full) return;
    this.#full = false;
    this.handler.drained(0);
  }
}

class StreamEar implements StreamHandler {
  constructor(
    private readonly stream: Stream,
    private readonly pipeEnd: StreamEnd,
    /** undefined: no HEAD is expected, or it has come. */
    private waiting: (() => void) | undefined,
  ) {}

  head(fields: Uint8Array): void {
    const opened = this.waiting;
    if (opened === undefined) return this.fail("stream-state");
    const head = decodeHead(fields);
    // No field that is known belongs here; those that are not are for a later version.
    if (head === undefined || !head.isEmpty) return this.fail("head-invalid");
    this.waiting = undefined;
    opened();
  }

  data(bytes: Uint8Array): void {
    if (this.waiting !== undefined) this.fail("stream-state");
    else this.pipeEnd.handler.data(bytes);
  }

  end(): void {
    if (this.waiting !== undefined) this.fail("stream-state");
    else this.pipeEnd.handler.ended();
  }

  /** The END has told the same already. */
  left(): void {}

  reset(code: Code): void {
    this.pipeEnd.handler.aborted(code);
  }

  writable(): void {
    this.pipeEnd.writable();
  }

  private fail(code: Code): void {
    this.stream.reset(code);
    this.pipeEnd.handler.aborted(code);
  }
}
