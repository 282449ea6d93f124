import type { Link, LinkHandler } from "../../shared/link.ts";
import { pingText, pongText } from "../../shared/liveness.ts";
import type { Machine } from "./machine.ts";

export type SideName = "agent" | "relay";

/** Who looks at what goes over a wire. */
export interface WireWatcher {
  sent(from: SideName, bytes: Uint8Array): void;
  /** It has arrived whole, and the receiver is about to get it. */
  arrived(to: SideName, bytes: Uint8Array): void;
}

/** A message, a text, or a close. */
export type Item = Uint8Array | string | { readonly code: number; readonly reason: string };

/** What lies between two ends. */
export interface Carrier {
  readonly watcher: WireWatcher | undefined;
  /** What the system takes before `queued` shows it. */
  readonly bufferBytes: number;
  carry(from: WireEnd, item: Item, size: number): void;
  /** One end drops it. */
  broken(from: WireEnd): void;
  /** One end is over. */
  ended(): void;
}

/** A close that is not answered. */
const closeTimeoutMs = 1_000;

const deaf: LinkHandler = { heard() {}, message() {}, text() {}, drained() {}, closed() {} };

/** One end of a hostile link. */
export class WireEnd implements Link {
  handler: LinkHandler = deaf;
  state: "open" | "closing" | "closed" = "open";
  /** Bytes taken that have not begun their way. */
  unsent = 0;
  /** The platform that keeps it while its process is ended. */
  keeper: { readonly answersPings: boolean } | undefined;
  /** What is kept with it; `isNew`: nothing was ever said of that. */
  attached: unknown;
  isNew = true;
  answeredMs: number | undefined;
  #cancelTimeout: (() => void) | undefined;

  constructor(
    private readonly wire: Carrier,
    readonly side: SideName,
    /** Another one, where its process ended and it was kept. */
    public machine: Machine,
  ) {}

  get queued(): number {
    return Math.max(0, this.unsent - this.wire.bufferBytes);
  }

  send(message: Uint8Array): void {
    if (this.state !== "open") return;
    this.wire.watcher?.sent(this.side, message);
    this.wire.carry(this, message.slice(), message.length + headerBytes(message.length));
  }

  sendText(text: string): void {
    if (this.state === "open") this.wire.carry(this, text, text.length + 2);
  }

  attach(value: unknown): void {
    this.attached = structuredClone(value);
    this.isNew = false;
  }

  /** Whether the platform answers this, so that its process hears nothing of it. */
  answers(item: Item): boolean {
    if (item !== pingText || this.keeper?.answersPings !== true) return false;
    if (this.state !== "open" || this.machine.stopped) return false;
    this.answeredMs = this.machine.date();
    this.sendText(pongText);
    return true;
  }

  close(code: number, reason: string): void {
    if (this.state !== "open") return;
    this.state = "closing";
    this.wire.carry(this, { code, reason }, 4 + reason.length);
    this.#cancelTimeout = this.machine.at(this.machine.now() + closeTimeoutMs, () => this.destroy());
  }

  destroy(): void {
    if (this.state === "closed") return;
    this.state = "closing";
    this.machine.soon(() => this.over(1006, ""));
    this.wire.broken(this);
  }

  /** `closed`, once, when the process runs. */
  over(code: number, reason: string): void {
    if (this.state === "closed") return;
    this.state = "closed";
    this.unsent = 0;
    this.#cancelTimeout?.();
    this.handler.closed(code, reason);
    this.wire.ended();
  }

  deliver(item: Item): void {
    if (this.state === "closed") return;
    if (typeof item === "string") {
      if (this.state === "open") {
        this.handler.heard();
        if (this.state === "open") this.handler.text(item);
      }
    } else if (item instanceof Uint8Array) {
      if (this.state === "open") {
        this.handler.heard();
        this.wire.watcher?.arrived(this.side, item);
        if (this.state === "open") this.handler.message(item);
      }
    } else {
      // An answer to a close is its end; a close is answered.
      if (this.state === "open") this.wire.carry(this, { code: item.code, reason: "" }, 4);
      this.over(item.code, item.reason);
    }
  }

  /** Its process is dead. */
  abandon(): void {
    this.state = "closed";
    this.handler = deaf;
  }

  /** Bytes, but no whole message. */
  hear(): void {
    if (this.state === "open") this.handler.heard();
  }
}

/** What RFC 6455 puts before a message; the mask is left out. */
function headerBytes(size: number): number {
  return size < 126 ? 2 : size < 65_536 ? 4 : 10;
}
