import type { Clock } from "../clock.ts";
import { deafLinkHandler, type Link, type LinkHandler } from "../link.ts";

/** One end of an in-memory link: for tests, and for an agent and a relay in one process. */
class MemoryLink implements Link {
  handler: LinkHandler = deafLinkHandler;
  queued = 0;
  /** Set right after the making of both. */
  peer: MemoryLink | undefined;
  readonly #clock: Clock;
  /** What was sent and waits for the next turn of the loop; order is all that there is to a wire. */
  #waiting: (Uint8Array | string)[] = [];
  #scheduled = false;
  #closing: { readonly code: number; readonly reason: string } | undefined;
  #over = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  send(message: Uint8Array): void {
    if (this.#over || this.#closing !== undefined) return;
    // A copy, as a wire makes one: the receiver owns what it gets, and the sender may need it again.
    this.#queue(message.slice(), message.length);
  }

  sendText(text: string): void {
    if (this.#over || this.#closing !== undefined) return;
    this.#queue(text, text.length);
  }

  close(code: number, reason: string): void {
    if (this.#over || this.#closing !== undefined) return;
    this.#closing = { code, reason };
    this.#schedule();
  }

  destroy(): void {
    this.#waiting = [];
    this.#clock.soon(() => {
      this.#finish(1006, "");
      if (this.peer !== undefined) this.peer.#finish(1006, "");
    });
    this.#closing ??= { code: 1006, reason: "" };
  }

  #queue(item: Uint8Array | string, bytes: number): void {
    this.queued += bytes;
    this.#waiting.push(item);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#clock.soon(() => this.#deliver());
  }

  #deliver(): void {
    this.#scheduled = false;
    const items = this.#waiting;
    this.#waiting = [];
    const had = this.queued > 0;
    this.queued = 0;
    const peer = this.peer;
    for (const item of items) {
      // One that has said close or was dropped hears no more messages.
      if (peer === undefined || peer.#over || peer.#closing !== undefined) break;
      peer.handler.heard();
      if (typeof item === "string") peer.handler.text(item);
      else peer.handler.message(item);
    }
    if (this.#over) return;
    if (had) this.handler.drained();
    // What was sent during the delivery goes before the close.
    const closing = this.#closing;
    if (closing === undefined || this.#scheduled) return;
    if (peer !== undefined) peer.#finish(closing.code, closing.reason);
    this.#finish(closing.code, closing.reason);
  }

  #finish(code: number, reason: string): void {
    if (this.#over) return;
    this.#over = true;
    this.#waiting = [];
    this.queued = 0;
    this.handler.closed(code, reason);
  }

  static pair(clock: Clock): [Link, Link] {
    const one = new MemoryLink(clock);
    const two = new MemoryLink(clock);
    one.peer = two;
    two.peer = one;
    return [one, two];
  }
}

/** Two ends of one link. Messages arrive in a later turn of the loop, in order, never from inside `send`. */
export function memoryLinks(clock: Clock): [Link, Link] {
  return MemoryLink.pair(clock);
}
