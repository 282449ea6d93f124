import { type Code, wireNumber } from "../errors.ts";
import { DatagramQueue } from "./datagram-queue.ts";
import { MessageWriter } from "./frame.ts";
import type { Ledger } from "./ledger.ts";
import { limits } from "./limits.ts";
import type { Memory } from "./memory.ts";
import { Queue } from "./queue.ts";
import type { Stream } from "./stream.ts";
import { Turns } from "./turns.ts";

export interface Goaway {
  /** As on the wire: 0 drain, 1 bye, 2 error. */
  readonly kind: number;
  readonly code: Code;
  readonly lastId: number;
  readonly graceMs: number;
  readonly reason: string;
}

const encoder = new TextEncoder();
const recordBytes = { ack: 12, resetFrame: 10, creditEntry: 12, goaway: 16, doubt: 5 } as const;

/** All that waits to be sent, and the making of messages out of it: control records first, then streams in turn. */
export class Outbox {
  private readonly turns = new Turns();
  private readonly credits = new Queue<Stream>();
  private readonly resets = new Queue<{ readonly id: number; readonly code: Code }>();
  readonly datagrams: DatagramQueue;
  /** Bytes of datagrams less bytes of frames that have left since frames had to wait. */
  private datagramLead = 0;
  private goaway: Goaway | undefined;
  /** What the last stream that carried much has needed. */
  bulkWindow = 0;
  private readonly doubts = new Set<number>();

  constructor(
    private readonly ledger: Ledger,
    private readonly memory: Memory,
  ) {
    this.datagrams = new DatagramQueue(memory);
  }

  get pendingResets(): number {
    return this.resets.length;
  }

  get hasFrames(): boolean {
    return this.turns.waiting || this.resets.length > 0;
  }

  get hasControl(): boolean {
    return this.credits.length > 0 || this.goaway !== undefined || this.doubts.size > 0;
  }

  /**
   * Datagrams wait whose turn it is: where frames wait too, half of the bytes are theirs. Also while those wait for
   * acknowledgement: else datagrams, which wait for none, would have the link for themselves.
   */
  datagramsMayGo(nowMs: number): boolean {
    return this.datagrams.hasReady(nowMs) && (this.datagramLead <= 0 || !this.hasFrames);
  }

  /** The stream takes its turns until it has nothing sendable. */
  addTurn(stream: Stream): void {
    this.turns.add(stream);
  }

  addCredit(stream: Stream): void {
    stream.creditWaits = true;
    this.credits.push(stream);
  }

  addReset(id: number, code: Code): void {
    this.resets.push({ id, code });
  }

  addDoubt(slot: number): void {
    this.doubts.add(slot);
  }

  /** The link is gone: what was for the moment is dropped. */
  unlink(): void {
    for (let stream = this.credits.shift(); stream !== undefined; stream = this.credits.shift())
      stream.creditWaits = false;
    this.datagrams.clear();
    this.doubts.clear();
  }

  /** A later one replaces one that has not left. */
  setGoaway(goaway: Goaway | undefined): void {
    this.goaway = goaway;
  }

  /** The next message; `frames`, `datagrams`: those may go too. undefined: there is nothing. */
  compose(
    nowMs: number,
    options: { readonly frames: boolean; readonly datagrams: boolean; readonly acks: boolean },
  ): Uint8Array | undefined {
    const { messageBytes } = this.ledger.flight;
    const framesWait = this.hasFrames;
    if (!framesWait) this.datagramLead = 0;
    // None is cut, so what did not fit into the half of one message is owed in the next.
    const datagramBytes = framesWait ? messageBytes / 2 - Math.min(this.datagramLead, 0) : messageBytes;
    const expected =
      this.expectedBytes(options.frames) + (options.datagrams ? this.datagrams.bytesUpTo(datagramBytes) : 0);
    const writer = new MessageWriter(
      expected,
      expected < limits.maxMessageBytes ? undefined : this.ledger.spare(),
    );
    const received = options.acks ? this.ledger.tell() : undefined;
    if (received !== undefined) writer.ack(received);
    this.writeCredits(writer, nowMs);
    this.writeGoaway(writer);
    for (const slot of this.doubts) if (writer.room >= recordBytes.doubt) writer.doubt(slot);
    this.doubts.clear();
    if (options.datagrams) this.datagramLead += this.datagrams.write(writer, datagramBytes, nowMs);
    const controlBytes = writer.length;
    if (options.frames) this.writeFrames(writer);
    this.datagramLead = Math.max(this.datagramLead - (writer.length - controlBytes), -limits.maxMessageBytes);
    if (writer.length === 0) return undefined;
    const message = writer.finish();
    if (writer.length > controlBytes) this.ledger.keep(message, controlBytes, nowMs);
    return message;
  }

  clear(): void {
    for (const queue of [this.turns, this.credits, this.resets, this.datagrams]) queue.clear();
  }

  private expectedBytes(frames: boolean): number {
    let bytes =
      recordBytes.ack +
      4 +
      this.credits.length * recordBytes.creditEntry +
      this.resets.length * recordBytes.resetFrame +
      this.doubts.size * recordBytes.doubt;
    if (this.goaway !== undefined) bytes += limits.maxReasonBytes + recordBytes.goaway;
    if (frames) {
      bytes += recordBytes.resetFrame;
      bytes += this.turns.bytesUpTo(limits.maxMessageBytes - bytes);
    }
    return bytes;
  }

  private writeCredits(writer: MessageWriter, nowMs: number): void {
    const open: Stream[] = [];
    for (let room = Math.floor((writer.room - 4) / recordBytes.creditEntry); room > 0; ) {
      const stream = this.credits.shift();
      if (stream === undefined) break;
      stream.creditWaits = false;
      if (stream.closed) continue;
      open.push(stream);
      room--;
    }
    if (open.length === 0) return;
    const { creditTripMs: tripMs, isLong } = this.ledger.flight;
    const lately = isLong ? this.bulkWindow : undefined;
    writer.credit(open.length);
    for (const stream of open)
      writer.creditEntry(stream.id, stream.grant(nowMs, tripMs, this.memory, lately));
  }

  private writeGoaway(writer: MessageWriter): void {
    const { goaway } = this;
    if (goaway === undefined) return;
    const reason = encoder.encode(goaway.reason).subarray(0, limits.maxReasonBytes);
    if (writer.room < reason.length + recordBytes.goaway) return;
    writer.goaway(goaway.kind, wireNumber(goaway.code), goaway.lastId, goaway.graceMs, reason);
    this.goaway = undefined;
  }

  private writeFrames(writer: MessageWriter): void {
    const { flight } = this.ledger;
    this.writeResets(writer);
    while (this.turns.take(writer, flight) && writer.room >= 64 && writer.length < flight.messageBytes);
    // A stream that ended with RESET behind its END wants it in the same message where it fits.
    this.writeResets(writer);
  }

  private writeResets(writer: MessageWriter): void {
    while (writer.room >= recordBytes.resetFrame) {
      const reset = this.resets.shift();
      if (reset === undefined) return;
      writer.reset(reset.id, wireNumber(reset.code));
    }
  }
}
