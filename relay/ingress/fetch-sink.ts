import type { EventSink, EventSinkHandler } from "../../shared/links/event-stream-sink.ts";

/** What goes into the pipe at once. Each piece is a crossing of several boundaries there. */
const writeBytes = 65_536;

/** The way down of a link as the body of a Response: written through a pipe of bytes (`FetchPlatform.bodyPipe`). */
export class FetchSink implements EventSink {
  handler: EventSinkHandler = { drained() {}, closed() {} };
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  /** What waits while a write is under way. */
  #pieces: Uint8Array[] = [];
  #queued = 0;
  #writing = false;
  #ending = false;
  #over = false;

  /** `signal`: aborts when whoever asked has gone, which the pipe's own end tells only where something is written. */
  constructor(writable: WritableStream<Uint8Array>, signal: AbortSignal) {
    this.#writer = writable.getWriter();
    const gone = () => this.#closed();
    this.#writer.closed.then(gone, gone);
    signal.addEventListener("abort", () => this.destroy());
  }

  get queued(): number {
    return this.#queued;
  }

  write(bytes: Uint8Array): number {
    if (this.#ending || this.#over) return this.#queued;
    this.#queued += bytes.length;
    this.#pieces.push(bytes);
    this.#next();
    return this.#queued;
  }

  end(): void {
    this.#ending = true;
    this.#next();
  }

  destroy(): void {
    if (this.#over) return;
    this.#ending = true;
    this.#pieces = [];
    const gone = () => this.#closed();
    this.#writer.abort().then(gone, gone);
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
        this.#queued -= bytes.length;
        if (this.#over) return;
        this.handler.drained();
        this.#next();
      },
      () => this.#closed(),
    );
  }

  /** Small pieces that wait go together. */
  #take(): Uint8Array | undefined {
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
    this.#pieces = [];
    this.handler.closed();
  }
}
