import type { Passage } from "../../shared/passage.ts";

const uploadLimits = {
  /** What is read at once. */
  readBytes: 65_536,
  /** Smaller pieces are copied: each would else keep a whole buffer while it waits for credit. */
  copyBelowBytes: 32_768,
} as const;

/** Pumps a visitor's body onwards, no faster than the stream takes it. */
export class Upload {
  bytes = 0;
  /** The body was read to its end. */
  complete = false;
  private stopped = false;
  private goOn: (() => void) | undefined;

  /** `broken`: the visitor went away in the middle. */
  constructor(
    private readonly passage: Passage,
    body: ReadableStream<Uint8Array>,
    broken: () => void,
  ) {
    void this.pump(body.getReader({ mode: "byob" }), broken);
  }

  /** The stream has room again. */
  writable(): void {
    this.goOn?.();
  }

  /** Nobody wants the rest. */
  stop(): void {
    this.stopped = true;
    this.goOn?.();
  }

  private async pump(reader: ReadableStreamBYOBReader, broken: () => void): Promise<void> {
    const { passage } = this;
    let buffer = new ArrayBuffer(uploadLimits.readBytes);
    try {
      for (;;) {
        const { value, done } = await reader.read(new Uint8Array(buffer));
        if (this.stopped) break;
        if (done || value === undefined) {
          this.complete = true;
          passage.sendEnd();
          return;
        }
        this.bytes += value.length;
        const small = value.length < uploadLimits.copyBelowBytes;
        const more = passage.write(small ? value.slice() : value);
        buffer = small ? value.buffer : new ArrayBuffer(uploadLimits.readBytes);
        if (!more) await new Promise<void>((resolve) => (this.goOn = resolve));
        if (this.stopped) break;
      }
      await reader.cancel();
    } catch {
      // Every failure of a read means the same: the rest of the body will not come.
      if (!this.stopped) broken();
    }
  }
}
