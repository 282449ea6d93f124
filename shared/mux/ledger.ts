import type { Code } from "../errors.ts";
import { Flight } from "./flight.ts";
import { limits } from "./limits.ts";
import type { Memory } from "./memory.ts";
import { Queue } from "./queue.ts";

interface Kept {
  readonly bytes: Uint8Array;
  /** Where the frames begin: what stands before is of its moment, and not sent again. */
  readonly framesAt: number;
  /** When it was handed to the present link. */
  sentMs: number;
  mark: number;
  slack: boolean;
}

/** Counted messages, both ways: ours are kept until acknowledged, the peer's are acknowledged on receipt. */
export class Ledger {
  readonly flight: Flight;
  /** When an ACK must leave at the latest; undefined: none is owed. */
  ackDueMs: number | undefined;
  private readonly kept = new Queue<Kept>();
  private readonly spares: Uint8Array[] = [];
  private sentCount: number;
  /** How many of our messages the peer has acknowledged. */
  acknowledgedCount: number;
  /** The number of the next message to send again; above `sentCount`: none. */
  private againCount: number;
  private receivedCount: number;
  /** The number of the latest message on the present link, received before or not. */
  private arrivedCount: number;
  private toldCount: number;
  private untoldBytes = 0;

  /** Counts are 0, or those at which a session came to rest. */
  constructor(
    firstTripMs: number,
    private readonly memory: Memory,
    { sent, received } = { sent: 0, received: 0 },
  ) {
    this.flight = new Flight(firstTripMs, memory);
    this.sentCount = sent;
    this.acknowledgedCount = sent;
    this.againCount = sent + 1;
    this.receivedCount = received;
    this.arrivedCount = received;
    this.toldCount = received;
  }

  /** Nothing is unacknowledged either way, and nothing that came by an earlier link is to come again. */
  get settled(): boolean {
    const { arrivedCount, toldCount, receivedCount } = this;
    return this.kept.length === 0 && arrivedCount === toldCount && arrivedCount === receivedCount;
  }

  /** Of messages that are kept, and of buffers that are for the next ones. */
  get heldBytes(): number {
    let bytes = 0;
    for (let i = 0; i < this.kept.length; i++) bytes += this.kept.at(i)?.bytes.buffer.byteLength ?? 0;
    return bytes + this.spares.length * limits.maxMessageBytes;
  }

  /** How many counted messages the peer has sent that came here. */
  get received(): number {
    return this.receivedCount;
  }

  /** The oldest message that the peer has not acknowledged: when it left, and how large it is. */
  get oldest(): { readonly sentMs: number; readonly bytes: Uint8Array } | undefined {
    return this.kept.peek();
  }

  /** A counted message is handed to the link. It must not change until it is acknowledged. */
  keep(bytes: Uint8Array, framesAt: number, nowMs: number): void {
    this.sentCount++;
    this.againCount = this.sentCount + 1;
    const { mark, isSlack: slack } = this.flight;
    this.flight.sent(bytes.length);
    this.memory.beside.add(bytes.buffer.byteLength);
    this.kept.push({ bytes, framesAt, sentMs: nowMs, mark, slack });
  }

  /** A full-size buffer of an acknowledged message: nobody needs its bytes any more. undefined: there is none. */
  spare(): Uint8Array | undefined {
    const spare = this.spares.pop();
    if (spare !== undefined) this.memory.beside.add(-spare.length);
    return spare;
  }

  /** An ACK came: of what was handed to this link. */
  acknowledged(count: number, nowMs: number): Code | undefined {
    if (count > this.sentCount || (this.hasAgain && count >= this.againCount)) return "protocol-error";
    const newest = this.free(count);
    if (newest !== undefined) this.flight.measured(newest.mark, newest.sentMs, nowMs, newest.slack);
    return undefined;
  }

  /** Forgets our messages up to `count`. Returns the newest of them that was still kept. */
  private free(count: number): Kept | undefined {
    let bytes = 0;
    let newest: Kept | undefined;
    const maxSpares = this.memory.isScarce ? 0 : limits.maxSpares;
    for (; this.acknowledgedCount < count; this.acknowledgedCount++) {
      newest = this.kept.shift();
      if (newest === undefined) continue;
      bytes += newest.bytes.length;
      const { buffer, length } = newest.bytes;
      const size = buffer.byteLength;
      if (size === limits.maxMessageBytes && this.spares.length < maxSpares)
        this.spares.push(length === size ? newest.bytes : new Uint8Array(buffer));
      else this.memory.beside.add(-size);
    }
    // At rest nothing is held.
    if (this.kept.length === 0) this.dropSpares();
    this.flight.acknowledged(bytes);
    return newest;
  }

  private dropSpares(): void {
    this.memory.beside.add(-this.spares.length * limits.maxMessageBytes);
    this.spares.length = 0;
  }

  /** A counted message comes. false: it came before, on an earlier link. */
  arrives(): boolean {
    this.arrivedCount++;
    if (this.arrivedCount <= this.receivedCount) return false;
    this.receivedCount = this.arrivedCount;
    return true;
  }

  /** A counted message of `bytes` has come, be it again. */
  owe(bytes: number, nowMs: number): void {
    this.untoldBytes += bytes;
    if (this.owesMuch) this.ackDueMs = nowMs;
    else this.ackDueMs ??= nowMs + limits.ackDelayMs;
  }

  /** So many bytes came since the last ACK that the peer may be waiting for one. */
  get owesMuch(): boolean {
    return this.untoldBytes >= limits.ackEveryBytes;
  }

  ackIsDue(nowMs: number): boolean {
    return this.ackDueMs !== undefined && this.ackDueMs <= nowMs;
  }

  /** The count for an ACK that goes now; undefined when the peer knows it already. */
  tell(): number | undefined {
    this.ackDueMs = undefined;
    this.untoldBytes = 0;
    // What came by an earlier link is told when it comes again: the peer counts what it hands to this one.
    if (this.arrivedCount === this.toldCount) return undefined;
    this.toldCount = this.arrivedCount;
    return this.arrivedCount;
  }

  get counts(): { readonly sent: number; readonly received: number } {
    return { sent: this.sentCount, received: this.receivedCount };
  }

  get sent(): number {
    return this.sentCount;
  }

  /**
   * A new link: the peer has received `peerReceived` of ours, knows that we have `told` of its own, and numbers what it
   * sends from there.
   */
  resume(peerReceived: number, told: number, tripMs: number): void {
    this.free(peerReceived);
    this.againCount = this.acknowledgedCount + 1;
    this.arrivedCount = told;
    this.toldCount = told;
    this.untoldBytes = 0;
    this.ackDueMs = undefined;
    this.flight.moved(tripMs);
  }

  /** Messages wait to be sent again. */
  get hasAgain(): boolean {
    return this.againCount <= this.sentCount;
  }

  /** The next message to send again: its frames. */
  again(nowMs: number): Uint8Array | undefined {
    const message = this.kept.at(this.againCount - this.acknowledgedCount - 1);
    if (message === undefined) return undefined;
    this.againCount++;
    message.sentMs = nowMs;
    message.mark = this.flight.mark;
    message.slack = false;
    return message.bytes.subarray(message.framesAt);
  }

  /** Forgets all, at the session's end. */
  clear(): void {
    this.memory.beside.add(-this.heldBytes);
    this.kept.clear();
    this.spares.length = 0;
    this.againCount = this.sentCount + 1;
    this.flight.clear();
    this.ackDueMs = undefined;
  }
}
