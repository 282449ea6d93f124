import { eventStreamLimits as limits } from "./event-stream-limits.ts";
import { KeptBytes } from "./kept-bytes.ts";

/** Takes the bodies of POSTs in the order of their numbers, each byte of them once. */
export interface OrderHandler {
  /** More of the body whose turn it is. Returns false where it breaks a rule. */
  bytes(bytes: Uint8Array): boolean;
  /** That body is complete. Returns false where it must not be. */
  complete(): boolean;
  /** So many bytes more, or less, wait for their turn. */
  held(bytes: number): void;
}

/** `taken`: it was taken in, now or before. `invalid`: it broke a rule, or the order is over. */
export type Outcome = "taken" | "invalid";

interface Slot {
  /** How many of its bytes have come, on whichever of the sockets that it was tried on brought most. */
  received: number;
  /** Those of them that wait for its turn. */
  kept: KeptBytes;
  whole: boolean;
  waiting: ((outcome: Outcome) => void)[];
}

/** The body of one POST on its way in. One that breaks off is simply left: it will come again. */
export interface OrderedBody {
  /** Returns false where it breaks a rule: the order is to be ended. */
  push(bytes: Uint8Array): boolean;
  /** `done` is called once: now, or when its turn has come, or when the order ends. */
  end(done: (outcome: Outcome) => void): void;
}

/**
 * Puts POSTs in order, whatever way they took and however often they came. Those that overtake wait here; the one whose
 * turn it is goes on as it comes in, so that nothing of it waits for its end. Pure.
 */
export class PostOrder {
  /** Bytes that wait for their turn. */
  #heldBytes = 0;
  readonly #handler: OrderHandler;
  /** All numbers up to this were taken in. */
  #taken = 0;
  readonly #slots = new Map<number, Slot>();
  #isOver = false;

  constructor(handler: OrderHandler) {
    this.#handler = handler;
  }

  get taken(): number {
    return this.#taken;
  }
  /** Something waits for a POST with a lower number. */
  get waits(): boolean {
    for (const number of this.#slots.keys()) if (number > this.#taken + 1) return true;
    return false;
  }

  /** A POST with this number has begun. undefined: it is further ahead than may be, and the order is to be ended. */
  begin(number: number): OrderedBody | undefined {
    if (number > this.#taken + limits.maxPosts) return undefined;
    let slot = this.#slots.get(number);
    if (slot === undefined) {
      slot = { received: 0, kept: new KeptBytes(), whole: false, waiting: [] };
      if (number > this.#taken && !this.#isOver) this.#slots.set(number, slot);
    }
    return this.#body(number, slot);
  }

  /** No more is taken in. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const waiting = [...this.#slots.values()].flatMap((slot) => slot.waiting);
    this.#slots.clear();
    this.#hold(-this.#heldBytes);
    for (const done of waiting) done("invalid");
  }

  #body(number: number, slot: Slot): OrderedBody {
    let at = 0;
    return {
      push: (bytes) => {
        const from = at;
        at += bytes.length;
        if (at > limits.maxPostBytes) return false;
        if (this.#isOver || number <= this.#taken || slot.whole || at <= slot.received) return true;
        const fresh = bytes.subarray(slot.received - from);
        slot.received = at;
        if (number === this.#taken + 1) return this.#handler.bytes(fresh);
        slot.kept.push(fresh);
        this.#hold(fresh.length);
        return true;
      },
      end: (done) => {
        if (number <= this.#taken) done("taken");
        else if (this.#isOver || slot.waiting.length >= limits.maxRepeats) done("invalid");
        else {
          slot.whole = true;
          slot.waiting.push(done);
          if (number === this.#taken + 1) this.#advance(slot);
        }
      },
    };
  }

  /** The POST whose turn it is has come whole, and maybe those after it. */
  #advance(first: Slot): void {
    let slot: Slot | undefined = first;
    while (slot?.whole === true) {
      if (!this.#handler.complete()) return this.end();
      this.#taken++;
      this.#slots.delete(this.#taken);
      for (const done of slot.waiting) done("taken");
      // What was told may have ended it.
      if (this.#isOver) return;
      slot = this.#slots.get(this.#taken + 1);
      for (const piece of slot?.kept.take() ?? []) {
        this.#hold(-piece.length);
        if (!this.#handler.bytes(piece)) return this.end();
        if (this.#isOver) return;
      }
    }
  }

  #hold(bytes: number): void {
    this.#heldBytes += bytes;
    this.#handler.held(bytes);
  }
}
