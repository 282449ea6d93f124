import type { Code } from "../errors.ts";
import { Flight } from "./flight.ts";
import { limits } from "./limits.ts";
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
  private sentCount = 0;
  /** How many of our messages the peer has acknowledged. */
  acknowledgedCount = 0;
  /** The number of the next message to send again; above `sentCount`: none. */
  private againCount = 1;
  private receivedCount = 0;
  /** The number of the latest message on the present link, received before or not. */
  private arrivedCount = 0;
  private toldCount = 0;
  private untoldBytes = 0;

  constructor(firstTripMs: number) {
    this.flight = new Flight(firstTripMs);
  }

  /** Nothing is unacknowledged either way. */
  get settled(): boolean {
    return this.kept.length === 0 && this.arrivedCount === this.toldCount;
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
    this.kept.push({ bytes, framesAt, sentMs: nowMs, mark, slack });
  }

  /** A full-size buffer of an acknowledged message: nobody needs its bytes any more. undefined: there is none. */
  spare(): Uint8Array | undefined {
    return this.spares.pop();
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
    for (; this.acknowledgedCount < count; this.acknowledgedCount++) {
      newest = this.kept.shift();
      if (newest === undefined) continue;
      bytes += newest.bytes.length;
      if (newest.bytes.length === limits.maxMessageBytes && this.spares.length < limits.maxSpares)
        this.spares.push(newest.bytes);
    }
    // At rest nothing is held.
    if (this.kept.length === 0) this.spares.length = 0;
    this.flight.acknowledged(bytes);
    return newest;
  }

  /** A counted message comes. false: it came before, on an earlier link. */
  arrives(): boolean {
    this.arrivedCount++;
    if (this.arrivedCount <= this.receivedCount) return false;
    this.receivedCount = this.arrivedCount;
    return true;
  }

  /** A counted message of `bytes` has come, be it again. `idle`: no stream is open, so nothing else will carry the ACK. */
  owe(bytes: number, nowMs: number, idle: boolean): void {
    this.untoldBytes += bytes;
    if (this.untoldBytes >= limits.ackEveryBytes) this.ackDueMs = nowMs;
    else this.ackDueMs ??= nowMs + limits.ackDelayMs;
    if (idle) this.hurry(nowMs);
  }

  /** No stream is open any more: what is owed goes soon, if no new stream takes it along. */
  hurry(nowMs: number): void {
    if (this.ackDueMs !== undefined) this.ackDueMs = Math.min(this.ackDueMs, nowMs + limits.idleAckDelayMs);
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
    this.kept.clear();
    this.spares.length = 0;
    this.againCount = this.sentCount + 1;
    this.flight.clear();
    this.ackDueMs = undefined;
  }
}
