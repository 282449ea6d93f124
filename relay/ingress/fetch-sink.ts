import type { EventSink, EventSinkHandler } from "../../shared/links/event-stream-sink.ts";
import { KeptBytes } from "../../shared/links/kept-bytes.ts";
import type { Gauge } from "../../shared/mux/gauge.ts";
import { lastingBytes } from "../../shared/mux/own-bytes.ts";

/** What goes into the pipe at once. Each piece is a crossing of several boundaries there. */
const writeBytes = 65_536;

export interface FetchSinkOptions {
  /** Aborts when whoever asked has gone, which the pipe's own end tells only where something is written. */
  readonly signal?: AbortSignal;
  /** Where what waits here is counted. */
  readonly held: Gauge;
}

/** The body of a Response, or the way down of a link as one: written through a pipe of bytes (`FetchPlatform.bodyPipe`). */
export class FetchSink implements EventSink {
  handler: EventSinkHandler = { drained() {}, closed() {} };
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  #held: Gauge;
  /** What waits while a write is under way: first these. */
  #pieces: Uint8Array[] = [];
  #kept = new KeptBytes();
  #queued = 0;
  #writing = false;
  #ending = false;
  #over = false;
  #isComplete = false;

  constructor(writable: WritableStream<Uint8Array>, { signal, held }: FetchSinkOptions) {
    this.#held = held;
    this.#writer = writable.getWriter();
    this.#writer.closed.then(
      () => {
        this.#isComplete = true;
        this.#closed();
      },
      () => this.#closed(),
    );
    signal?.addEventListener("abort", () => this.destroy());
  }

  /** Counts what waits in `gauge` from now on. */
  countIn(gauge: Gauge): void {
    this.#held.add(-this.#queued);
    this.#held = gauge;
    gauge.add(this.#queued);
  }

  /** All was taken, and the end. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  get queued(): number {
    return this.#queued;
  }

  write(bytes: Uint8Array): number {
    if (this.#ending || this.#over) return this.#queued;
    this.#weigh(bytes.length);
    if (this.#writing) this.#kept.push(bytes);
    else {
      // A small view must not pin the message that it came in.
      this.#pieces.push(lastingBytes(bytes));
      this.#next();
    }
    return this.#queued;
  }

  end(): void {
    this.#ending = true;
    this.#next();
  }

  /** `reason`: what the reader of the body is told. */
  destroy(reason?: Error): void {
    if (this.#over) return;
    this.#ending = true;
    this.#drop();
    const gone = () => this.#closed();
    this.#writer.abort(reason).then(gone, gone);
  }

  #next(): void {
    if (this.#writing || this.#over) return;
    const bytes = this.#take();
    if (bytes === undefined) {
      // Its failure is told by `closed`.
      if (this.#ending) this.#writer.close().catch(() => {});
      return;
    }
    this.#writing = true;
    this.#writer.write(bytes).then(
      () => {
        this.#writing = false;
        if (this.#over) return;
        // Nothing is left of what was dropped meanwhile.
        this.#weigh(-Math.min(bytes.length, this.#queued));
        this.#next();
        this.handler.drained();
      },
      () => this.#closed(),
    );
  }

  /** Small pieces that wait go together. */
  #take(): Uint8Array | undefined {
    if (this.#pieces.length === 0) this.#pieces = this.#kept.take();
    const pieces = this.#pieces;
    let count = 0;
    let size = 0;
    for (const { length } of pieces) {
      if (count > 0 && size + length > writeBytes) break;
      count++;
      size += length;
    }
    const taken = pieces.splice(0, count);
    const [first] = taken;
    if (taken.length < 2) return first;
    const joined = new Uint8Array(size);
    let at = 0;
    for (const piece of taken) {
      joined.set(piece, at);
      at += piece.length;
    }
    return joined;
  }

  #closed(): void {
    if (this.#over) return;
    this.#over = true;
    this.#drop();
    this.handler.closed();
  }

  #drop(): void {
    this.#pieces = [];
    this.#kept = new KeptBytes();
    this.#weigh(-this.#queued);
  }

  #weigh(bytes: number): void {
    this.#queued += bytes;
    this.#held.add(bytes);
  }
}
