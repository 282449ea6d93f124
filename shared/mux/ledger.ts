import type { Code } from "../errors.ts";
import { Flight } from "./flight.ts";
import { limits } from "./limits.ts";
import { Queue } from "./queue.ts";

interface Kept {
  readonly bytes: Uint8Array;
  readonly sentMs: number;
  readonly mark: number;
}

/** Counted messages, both ways: ours are kept until acknowledged, the peer's are acknowledged on receipt. */
export class Ledger {
  readonly flight: Flight;
  /** When an ACK must leave at the latest; undefined: none is owed. */
  ackDueMs: number | undefined;
  private readonly kept = new Queue<Kept>();
  private readonly spares: Uint8Array[] = [];
  private sentCount = 0;
  private ackedCount = 0;
  private receivedCount = 0;
  private toldCount = 0;
  private untoldBytes = 0;

  constructor(firstTripMs: number) {
    this.flight = new Flight(firstTripMs);
  }

  /** Nothing is unacknowledged either way. */
  get settled(): boolean {
    return this.kept.length === 0 && this.receivedCount === this.toldCount;
  }

  /** A counted message is handed to the link. It must not change after. */
  keep(bytes: Uint8Array, nowMs: number): void {
    this.sentCount++;
    this.kept.push({ bytes, sentMs: nowMs, mark: this.flight.sent(bytes.length) });
  }

  /** A full-size buffer of an acknowledged message: nobody needs its bytes any more. undefined: there is none. */
  spare(): Uint8Array | undefined {
    return this.spares.pop();
  }

  /** An ACK came. */
  acknowledged(count: number, nowMs: number): Code | undefined {
    if (count > this.sentCount) return "protocol-error";
    let bytes = 0;
    let newest: Kept | undefined;
    for (; this.ackedCount < count; this.ackedCount++) {
      newest = this.kept.shift();
      if (newest === undefined) continue;
      bytes += newest.bytes.length;
      if (newest.bytes.length === limits.maxMessageBytes && this.spares.length < limits.maxSpares)
        this.spares.push(newest.bytes);
    }
    // At rest nothing is held.
    if (this.kept.length === 0) this.spares.length = 0;
    if (newest !== undefined) this.flight.acknowledged(bytes, newest.mark, newest.sentMs, nowMs);
    return undefined;
  }

  /** A counted message of `bytes` came. `idle`: no stream is open, so nothing else will carry the ACK. */
  received(bytes: number, nowMs: number, idle: boolean): void {
    this.receivedCount++;
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
    if (this.receivedCount === this.toldCount) return undefined;
    this.toldCount = this.receivedCount;
    return this.receivedCount;
  }

  /** Forgets all, at the session's end. */
  clear(): void {
    this.kept.clear();
    this.spares.length = 0;
    this.flight.clear();
    this.ackDueMs = undefined;
  }
}
