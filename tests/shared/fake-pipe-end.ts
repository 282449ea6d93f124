import type { Code } from "../../shared/errors.ts";
import type { PipeEnd, PipeHandler } from "../../shared/pipe.ts";

const deaf: PipeHandler = { data() {}, drained() {}, ended() {}, aborted() {} };

/** An end of a pipe that keeps what it is told, and says that as much waits as a test wishes. */
export class FakePipeEnd implements PipeEnd {
  handler: PipeHandler = deaf;
  text = "";
  ended = false;
  abortedWith: Code | undefined;
  /** What the other end said last. */
  heldBytes = 0;
  /** What `write` answers. */
  weighs = 0;
  readonly #waiters: { met: () => boolean; resolve: () => void }[] = [];

  write(bytes: Uint8Array): number {
    this.text += new TextDecoder().decode(bytes);
    this.#look();
    return this.weighs;
  }
  end(): void {
    this.ended = true;
    this.#look();
  }
  abort(code: Code): void {
    this.abortedWith ??= code;
    this.#look();
  }
  held(bytes: number): void {
    this.heldBytes = bytes;
    this.#look();
  }

  /** The far side sends. */
  says(text: string): void {
    this.handler.data(new TextEncoder().encode(text));
  }
  /** So much of what was written has not left yet. */
  drains(to: number): void {
    this.weighs = to;
    this.handler.drained(to);
  }
  async until(met: () => boolean): Promise<void> {
    if (met()) return;
    await new Promise<void>((resolve) => this.#waiters.push({ met, resolve }));
  }
  #look(): void {
    for (const { met, resolve } of this.#waiters) if (met()) resolve();
  }
}
