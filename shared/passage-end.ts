import type { Code } from "./errors.ts";
import { decodeHead } from "./head.ts";
import { lastingBytes } from "./mux/own-bytes.ts";
import type { StreamHandler } from "./mux/stream.ts";
import { Passage, type PassageDeps, type Way } from "./passage.ts";
import type { PipeEnd, PipeHandler } from "./pipe.ts";
import { deafPipeHandler } from "./pipe-ends/deaf.ts";
import { pauseAboveBytes } from "./pipe-ends/socket-end.ts";

/** A stream of bytes that is yet to find its session, as the end of a pipe: it may wait for one, and be opened again. */
export class PassageEnd implements PipeEnd {
  #handler = deafPipeHandler;
  /** It broke before somebody heard it. */
  #broken: Code | undefined;
  readonly #passage: Passage;
  readonly #deps: PassageDeps;
  #full = false;
  #ended = false;
  #over = false;

  /** `opened`: the far end has accepted. */
  constructor(deps: PassageDeps, way: Way, opened: () => void = () => {}) {
    this.#deps = deps;
    this.#passage = new Passage(deps, way, new Ear(this, opened));
  }

  get handler(): PipeHandler {
    return this.#handler;
  }

  set handler(handler: PipeHandler) {
    this.#handler = handler;
    const code = this.#broken;
    this.#broken = undefined;
    // Not from inside: whoever sets it is not ready yet.
    if (code !== undefined) this.#deps.clock.soon(() => this.#handler.aborted(code));
  }

  /** Sends it on its way, or lets it wait. Returns the code of a refusal: then `handler` hears nothing. */
  start(opening: Uint8Array): Code | undefined {
    return this.#passage.start(opening);
  }

  /** It is over in both directions, and no longer among what is open. For whoever joined it to another end. Idempotent. */
  settle(): void {
    if (this.#over) return;
    this.#over = true;
    if (this.#passage.opened) this.#deps.metrics.streamsOpen--;
  }

  write(bytes: Uint8Array): number {
    if (this.#ended) return 0;
    this.#full = !this.#passage.give(lastingBytes(bytes));
    // All that waits, as it is credit that the other end must not give; and enough to pause any source.
    return this.#full ? Math.max(this.#passage.queued, pauseAboveBytes + 1) : 0;
  }

  end(): void {
    this.#ended = true;
    this.#passage.sendEnd();
  }

  abort(code: Code): void {
    this.#passage.cancel(code);
  }

  held(bytes: number): void {
    this.#passage.held(bytes);
  }

  /** It takes more again. */
  writable(): void {
    if (!this.#full) return;
    this.#full = false;
    this.handler.drained(0);
  }

  /** No more of it. */
  broke(code: Code): void {
    if (this.#handler === deafPipeHandler) this.#broken = code;
    else this.#handler.aborted(code);
  }
}

class Ear implements StreamHandler {
  #isOpen = false;

  constructor(
    private readonly pipeEnd: PassageEnd,
    private readonly opened: () => void,
  ) {}

  head(fields: Uint8Array): void {
    if (this.#isOpen) return this.#fail();
    const head = decodeHead(fields);
    // No field that is known belongs here; those that are not are for a later version.
    if (head === undefined || !head.isEmpty) return this.#fail("head-invalid");
    this.#isOpen = true;
    this.opened();
  }

  data(bytes: Uint8Array): void {
    if (this.#isOpen) this.pipeEnd.handler.data(bytes);
    else this.#fail();
  }

  end(): void {
    if (this.#isOpen) this.pipeEnd.handler.ended();
    else this.#fail();
  }

  left(): void {}

  reset(code: Code): void {
    this.pipeEnd.broke(code);
  }

  writable(): void {
    this.pipeEnd.writable();
  }

  #fail(code: Code = "stream-state"): void {
    this.pipeEnd.abort(code);
    this.pipeEnd.broke(code);
  }
}
