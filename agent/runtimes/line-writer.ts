import type { WriteStream } from "node:tty";

/** A reader that takes nothing must not fill our memory. */
const maxBacklogBytes = 1_048_576;

/** Lines for stdout or stderr: those of one turn of the loop leave with one system call. */
export class LineWriter {
  readonly #stream: WriteStream;
  #lines = "";
  #scheduled = false;

  /** `gone` is called when nobody reads any more (`| head -n 1`). */
  constructor(stream: WriteStream, gone: () => void) {
    this.#stream = stream;
    // Without a listener the process would end with a stack trace.
    stream.on("error", gone);
  }

  /** `text` without newline. A line that is `droppable` is left out while the reader does not keep up. */
  line(text: string, { droppable }: { readonly droppable: boolean }): void {
    if (droppable && this.#lines.length + this.#stream.writableLength > maxBacklogBytes) return;
    this.#lines += `${text}\n`;
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.flush();
    });
  }

  /** Hands over what waits. */
  flush(): void {
    if (this.#lines === "") return;
    this.#stream.write(this.#lines);
    this.#lines = "";
  }

  /** Hands over what waits, and resolves when it has left or a second has passed. */
  async finish(): Promise<void> {
    this.flush();
    if (this.#stream.writableLength === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, 1_000);
      this.#stream.write("", () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}
