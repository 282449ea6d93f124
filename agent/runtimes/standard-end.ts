import { closeSync, write } from "node:fs";
import type { Code } from "../../shared/errors.ts";
import type { PipeEnd, PipeHandler } from "../../shared/pipe.ts";
import { deafPipeHandler } from "../../shared/pipe-ends/deaf.ts";

/** stdin rests while more than the first waits at the other end, until less than the second does. */
const pauseAboveBytes = 262_144;
const resumeBelowBytes = 65_536;
/** Whoever started this program may have made stdout non-blocking: then a full pipe is asked again. */
const askAgainMs = 5;

const stdoutFile = 1;

/**
 * stdin and stdout as the end of a pipe: `data` is what came by stdin, what is written goes to stdout. stdin is read as a
 * web stream, never by `process.stdin`, which forgets its end when it is paused and resumed while that comes (measured on
 * Bun 1.4.5: a sixth of all runs). stdout is written as a file, never by `process.stdout`, which keeps a second descriptor
 * open, so that its reader would not see the end.
 */
export class StandardEnd implements PipeEnd {
  #handler = deafPipeHandler;
  #input: ReadableStreamDefaultReader<Uint8Array> | undefined;
  #reading = false;
  #paused = false;
  /** To be written, the first at work. */
  readonly #unwritten: Uint8Array[] = [];
  #queued = 0;
  #writing = false;
  #ending = false;
  #over = false;

  get handler(): PipeHandler {
    return this.#handler;
  }

  set handler(handler: PipeHandler) {
    this.#handler = handler;
    if (this.#input !== undefined) return;
    this.#input = openInput();
    this.#read();
  }

  write(bytes: Uint8Array): number {
    if (this.#over || this.#ending || bytes.length === 0) return this.#queued;
    this.#unwritten.push(bytes);
    this.#queued += bytes.length;
    this.#pump();
    return this.#queued;
  }

  end(): void {
    this.#ending = true;
    this.#pump();
  }

  abort(_code: Code): void {
    this.#over = true;
    // One that could not be read can't be given up either.
    this.#input?.cancel().catch(() => {});
  }

  held(bytes: number): void {
    if (this.#paused) {
      if (bytes >= resumeBelowBytes) return;
      this.#paused = false;
      this.#read();
    } else if (bytes > pauseAboveBytes) {
      this.#paused = true;
    }
  }

  /** One read at a time, and none while the other end has enough. */
  #read(): void {
    const input = this.#input;
    if (this.#reading || this.#paused || this.#over || input === undefined) return;
    this.#reading = true;
    input.read().then(
      ({ value, done }) => {
        this.#reading = false;
        if (this.#over) return;
        if (done) return this.#handler.ended();
        this.#handler.data(value);
        this.#read();
      },
      // A terminal that is gone is an end as well.
      () => {
        if (!this.#over) this.#handler.ended();
      },
    );
  }

  #pump(): void {
    const bytes = this.#unwritten[0];
    if (this.#writing || this.#over) return;
    if (bytes === undefined) {
      if (!this.#ending) return;
      this.#ending = false;
      closeSync(stdoutFile);
      return;
    }
    this.#writing = true;
    write(stdoutFile, bytes, 0, bytes.length, null, (error, written) => {
      this.#writing = false;
      if (this.#over) return;
      if (error !== null && error.code !== "EAGAIN") {
        this.#over = true;
        this.#handler.aborted("cancelled");
        return;
      }
      if (error !== null) {
        setTimeout(() => this.#pump(), askAgainMs);
        return;
      }
      this.#queued -= written;
      if (written === bytes.length) this.#unwritten.shift();
      else this.#unwritten[0] = bytes.subarray(written);
      this.#pump();
      this.#handler.drained(this.#queued);
    });
  }
}

function openInput(): ReadableStreamDefaultReader<Uint8Array> {
  try {
    return Bun.stdin.stream().getReader();
  } catch {
    // A directory: what can't be opened has nothing to say.
    return new Blob().stream().getReader();
  }
}
