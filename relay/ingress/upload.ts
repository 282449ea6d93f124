import type { Memory } from "../../shared/mux/memory.ts";
import type { Passage } from "../../shared/passage.ts";
import { BodyReader } from "./body-reader.ts";

/** Pumps a visitor's body onwards, no faster than the stream takes it. */
export class Upload {
  bytes = 0;
  private stopped = false;
  private goOn: (() => void) | undefined;

  /** `broken`: the visitor went away in the middle. */
  constructor(
    private readonly passage: Passage,
    body: ReadableStream<Uint8Array>,
    memory: Memory,
    broken: () => void,
  ) {
    void this.pump(new BodyReader(body, memory), broken);
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

  private async pump(reader: BodyReader, broken: () => void): Promise<void> {
    const { passage } = this;
    try {
      for (;;) {
        const bytes = await reader.read();
        if (this.stopped) break;
        if (bytes === undefined) {
          passage.sendEnd();
          return;
        }
        this.bytes += bytes.length;
        if (!passage.write(bytes)) await new Promise<void>((resolve) => (this.goOn = resolve));
        if (this.stopped) break;
      }
      await reader.cancel();
    } catch {
      // Every failure of a read means the same: the rest of the body will not come.
      if (!this.stopped) broken();
    }
  }
}
