import type { Socket } from "./socket.ts";

/** Gathered up to here; larger writes go through at once. */
const gatherBytes = 16_384;

/** Small writes to a socket within one callback leave together: a head, its body and the end of it are one system call. */
export class Cork {
  private parts: Uint8Array[] = [];
  private bytes = 0;
  private scheduled = false;
  private readonly flushLater = () => {
    this.scheduled = false;
    this.flush();
    this.flushed();
  };

  /** `flushed` is called after what was gathered went to the socket by itself: look at `queued`. */
  constructor(
    private readonly socket: Socket,
    private readonly flushed: () => void,
  ) {}

  /** Bytes written that the system has not accepted yet. */
  get queued(): number {
    return this.bytes + this.socket.queued;
  }

  write(bytes: Uint8Array): void {
    if (this.bytes + bytes.length > gatherBytes) {
      this.flush();
      if (bytes.length > gatherBytes) {
        this.socket.write(bytes);
        return;
      }
    }
    this.parts.push(bytes);
    this.bytes += bytes.length;
    if (this.scheduled) return;
    this.scheduled = true;
    queueMicrotask(this.flushLater);
  }

  flush(): void {
    const { parts } = this;
    const first = parts[0];
    if (first === undefined) return;
    let all = first;
    if (parts.length > 1) {
      all = new Uint8Array(this.bytes);
      let at = 0;
      for (const part of parts) {
        all.set(part, at);
        at += part.length;
      }
    }
    this.parts = [];
    this.bytes = 0;
    this.socket.write(all);
  }
}
