import { type Code, goawayCode, resetCode, wireNumber } from "../errors.ts";
import { Allowance } from "./allowance.ts";
import { MessageWriter, RecordType } from "./frame.ts";
import { Ledger } from "./ledger.ts";
import { limits } from "./limits.ts";
import type { Memory } from "./memory.ts";
import { type MessageHandler, readMessage } from "./message.ts";
import { Queue } from "./queue.ts";
import { Stream, type StreamHandler, type StreamHost } from "./stream.ts";

export type GoawayKind = "drain" | "bye" | "error";
const goawayKinds: readonly GoawayKind[] = ["drain", "bye", "error"];

/** What a session tells its owner. */
export interface SessionHandler {
  /** The peer opened a stream. Returns who handles it; undefined when the handler has reset it. */
  opened(stream: Stream, fields: Uint8Array): StreamHandler | undefined;
  /** There may be something for `poll` to hand out. Called at most once until the next `poll`. */
  wake(): void;
  /** A datagram of an open stream. */
  datagram(stream: Stream, payload: Uint8Array): void;
  /** The peer said GOAWAY. For `error`, `over` follows. */
  goaway(kind: GoawayKind, code: Code, graceMs: number, reason: string): void;
  /** The session has ended: all streams were reset. `poll` may still hand out a GOAWAY that says why. */
  over(code: Code): void;
}

export interface SessionOptions {
  readonly side: "agent" | "relay";
  /** The first windows: what we give the peer on each stream, and what it gives us. Bytes of credit. */
  readonly window: number;
  readonly peerWindow: number;
  /** Streams that the peer may have open at once, and that we may. */
  readonly streams: number;
  readonly peerStreams: number;
  readonly memory: Memory;
}

const text = { encoder: new TextEncoder(), decoder: new TextDecoder() };

/**
 * One multiplexed conversation, after the handshake: streams, credit, turns, counting, acknowledgement, GOAWAY. Pure:
 * messages and `nowMs` go in, `poll` hands messages out, and `deadlineMs` tells when to call it at the latest.
 */
export class Session implements StreamHost {
  /** Set before the first message. */
  handler: SessionHandler | undefined;
  private readonly streams = new Map<number, Stream>();
  private readonly turns = new Queue<Stream>();
  private readonly credits = new Queue<Stream>();
  private readonly resets = new Queue<{ readonly id: number; readonly code: Code }>();
  private readonly datagrams = new Queue<{ readonly id: number; readonly payload: Uint8Array }>();
  private datagramBytes = 0;
  private readonly ledger = new Ledger();
  private counted = false;
  private nextId: number;
  private ownOpen = 0;
  private peerOpen = 0;
  private highestPeerId = 0;
  private readonly peerResetsAllowed: Allowance;
  private goawayToSend: { kind: number; code: Code; graceMs: number; reason: string } | undefined;
  /** The last stream id of our GOAWAY, once sent. */
  private lastAccepted: number | undefined;
  private peerGoaway = false;
  private ended = false;
  private awake = false;
  private readonly reader: MessageHandler;

  constructor(
    private readonly options: SessionOptions,
    private nowMs: number,
  ) {
    this.nextId = options.side === "agent" ? 1 : 2;
    this.peerResetsAllowed = new Allowance(limits.resetBurst, limits.resetsPerSecond, nowMs);
    const isOver = () => this.ended;
    this.reader = {
      get over() {
        return isOver();
      },
      counted: () => {
        this.counted = true;
      },
      ack: (count) => this.acknowledge(count),
      credit: (id, limit) => {
        const stream = this.streams.get(id);
        if (stream?.announced === true) stream.raise(limit);
        return this.mayMention(id) ? undefined : "protocol-error";
      },
      goaway: (kind, wire, lastId, graceMs, reason) => this.peerLeaves(kind, wire, lastId, graceMs, reason),
      datagram: (id, payload) => {
        const stream = this.streams.get(id);
        if (stream !== undefined) this.handler?.datagram(stream, payload);
        return this.mayMention(id) ? undefined : "protocol-error";
      },
      open: (id, kind, fields) => this.peerOpens(id, kind, fields),
      frame: (type, id, payload) => {
        const stream = this.streams.get(id);
        if (stream === undefined) return this.everOpened(id) ? undefined : "protocol-error";
        // Our OPEN is still waiting here, so the peer can't know the stream.
        if (!stream.announced) return "protocol-error";
        if (type === RecordType.left) stream.receiveLeft();
        else if (stream.peerEnded) return this.failed(stream, "stream-state");
        else return stream.receive(type, payload);
        return undefined;
      },
      reset: (id, wire) => this.peerResets(id, wire),
      unknownFrame: (id, optional) => {
        const stream = this.streams.get(id);
        if (stream !== undefined && !optional) return this.failed(stream, "frame-unknown");
        return this.everOpened(id) ? undefined : "protocol-error";
      },
    };
  }

  /** No more comes of it but what `poll` still hands out. */
  get over(): boolean {
    return this.ended;
  }
  get openStreams(): number {
    return this.streams.size;
  }
  /** Smoothed round trip in ms, 0 until measured. */
  get tripMs(): number {
    return this.ledger.flight.smoothedTripMs;
  }
  /** Bytes sent and not acknowledged, and the budget that holds them. */
  get unacknowledgedBytes(): number {
    return this.ledger.flight.unacknowledgedBytes;
  }
  get flightBudgetBytes(): number {
    return this.ledger.flight.budgetBytes;
  }
  /** At rest: no streams, nothing to send, nothing unacknowledged either way. */
  get resting(): boolean {
    return this.streams.size === 0 && this.resets.length === 0 && this.ledger.settled;
  }
  /** When `poll` must be called at the latest; undefined: not before something happens. */
  get deadlineMs(): number | undefined {
    return this.ledger.ackDueMs;
  }

  /**
   * Opens a stream of `kind` with encoded head fields. undefined: not now (the peer is leaving, or a limit is reached).
   * Throws RangeError when the head is larger than any peer could take.
   */
  open(kind: number, fields: Uint8Array, handler: StreamHandler): Stream | undefined {
    const { options } = this;
    if (fields.length + limits.frameCost > limits.minWindowBytes * 0.75)
      throw new RangeError("head fields are too large for a stream");
    if (
      this.ended ||
      this.peerGoaway ||
      this.lastAccepted !== undefined ||
      this.goawayToSend !== undefined ||
      this.ownOpen >= options.peerStreams
    )
      return undefined;
    if (this.nextId > 0xffff_ffff) {
      this.goaway("drain", "going-away", 0, "");
      return undefined;
    }
    if (!options.memory.admit(options.window)) return undefined;
    const stream = new Stream(
      this,
      this.nextId,
      kind,
      handler,
      options.peerWindow,
      options.window,
      this.nowMs,
      fields,
    );
    this.nextId += 2;
    this.ownOpen++;
    this.streams.set(stream.id, stream);
    this.ready(stream);
    return stream;
  }

  /** Queues a datagram; the oldest are dropped when too much waits. */
  sendDatagram(stream: Stream, payload: Uint8Array): void {
    if (this.ended || stream.closed || payload.length > limits.maxDatagramBytes) return;
    this.datagrams.push({ id: stream.id, payload });
    this.datagramBytes += payload.length;
    while (this.datagramBytes > limits.maxPendingDatagramBytes)
      this.datagramBytes -= this.datagrams.shift()?.payload.length ?? 0;
    this.wake();
  }

  /** Says GOAWAY: no new streams from the peer. `error` ends the session at once. */
  goaway(kind: GoawayKind, code: Code, graceMs: number, reason: string): void {
    if (this.ended) return;
    this.goawayToSend = { kind: goawayKinds.indexOf(kind), code, graceMs, reason };
    if (kind === "error") this.finish(code);
    this.wake();
  }

  /** The link is gone and nothing will resume it. */
  lost(code: Code): void {
    this.goawayToSend = undefined;
    this.finish(code);
  }

  /** Takes a binary message. Never throws for what the peer sent. */
  handleMessage(bytes: Uint8Array, nowMs: number): void {
    if (this.ended) return;
    this.nowMs = nowMs;
    this.counted = false;
    const fault = readMessage(bytes, this.reader);
    if (fault !== undefined) this.goaway("error", fault, 0, "");
    if (!this.counted || this.ended) return;
    this.ledger.received(bytes.length, nowMs, this.streams.size === 0);
    if (this.ledger.ackDueMs !== undefined) this.wake();
  }

  /** The next message for the link, or undefined when nothing may or need be sent now. */
  poll(nowMs: number): Uint8Array | undefined {
    this.nowMs = nowMs;
    this.awake = false;
    const { ledger } = this;
    const ackDue = ledger.ackIsDue(nowMs);
    while (this.turns.peek()?.closed === true) this.turns.shift();
    const framesGo = !this.ended && !ledger.flight.full && (this.turns.length > 0 || this.resets.length > 0);
    if (
      !ackDue &&
      !framesGo &&
      this.credits.length === 0 &&
      this.goawayToSend === undefined &&
      this.datagrams.length === 0
    )
      return undefined;
    const writer = new MessageWriter(this.expectedBytes(framesGo));
    this.writeControl(writer, nowMs);
    const controlBytes = writer.length;
    if (framesGo) this.writeFrames(writer);
    if (writer.length === 0) return undefined;
    const message = writer.finish();
    if (writer.length > controlBytes) ledger.keep(message, nowMs);
    return message;
  }

  // StreamHost

  ready(stream: Stream): void {
    if (stream.inTurn || !stream.sendable) return;
    stream.inTurn = true;
    this.turns.push(stream);
    this.wake();
  }

  credit(stream: Stream): void {
    stream.creditWaits = true;
    this.credits.push(stream);
    this.wake();
  }

  close(stream: Stream, resetWith?: Code): void {
    if (stream.closed) return;
    if (resetWith !== undefined && stream.announced) {
      this.resets.push({ id: stream.id, code: resetWith });
      this.wake();
    }
    this.forget(stream);
    if (this.resets.length > limits.maxPendingResets) this.goaway("error", "too-many-resets", 0, "");
  }

  // Receiving

  private everOpened(id: number): boolean {
    if (id === 0) return false;
    return this.isOwn(id) ? id < this.nextId : id <= this.highestPeerId;
  }

  /** Control records run ahead of frames, so the peer's own next ids may be named early. */
  private mayMention(id: number): boolean {
    return id !== 0 && (!this.isOwn(id) || id < this.nextId);
  }

  private isOwn(id: number): boolean {
    return (id & 1) === (this.options.side === "agent" ? 1 : 0);
  }

  private acknowledge(count: number): Code | undefined {
    const fault = this.ledger.acknowledged(count, this.nowMs);
    if (fault === undefined && (this.turns.length > 0 || this.resets.length > 0)) this.wake();
    return fault;
  }

  private peerOpens(id: number, kind: number, fields: Uint8Array): Code | undefined {
    const { options } = this;
    if (id === 0 || this.isOwn(id) || id <= this.highestPeerId) return "protocol-error";
    this.highestPeerId = id;
    if (this.lastAccepted !== undefined) return undefined;
    if (fields.length + limits.frameCost > options.window) return "flow-control-error";
    if (this.peerOpen >= options.streams || !options.memory.admit(options.window)) {
      this.resets.push({ id, code: "too-many-streams" });
      this.wake();
      return this.blame();
    }
    const stream = new Stream(this, id, kind, unhandled, options.peerWindow, options.window, this.nowMs);
    this.peerOpen++;
    this.streams.set(id, stream);
    stream.charge(fields.length);
    const handler = this.handler?.opened(stream, fields);
    if (handler === undefined) {
      stream.reset("kind-unknown");
      return this.blame();
    }
    if (!stream.closed) stream.handler = handler;
    stream.opened();
    return undefined;
  }

  private peerResets(id: number, wire: number): Code | undefined {
    const stream = this.streams.get(id);
    if (stream === undefined) return this.everOpened(id) ? undefined : "protocol-error";
    const { handler } = stream;
    const code = resetCode(wire);
    this.forget(stream);
    handler.reset(code === "no-error" && !stream.peerEnded ? "stream-failed" : code);
    return this.isOwn(id) ? undefined : this.blame();
  }

  /** Resets a stream for what the peer sent on it. */
  private failed(stream: Stream, code: Code): Code | undefined {
    stream.fail(code);
    return this.isOwn(stream.id) ? undefined : this.blame();
  }

  /** One more stream of the peer's ended in a RESET through its own doing. */
  private blame(): Code | undefined {
    return this.resets.length > limits.maxPendingResets || !this.peerResetsAllowed.take(this.nowMs)
      ? "too-many-resets"
      : undefined;
  }

  private peerLeaves(
    kind: number,
    wire: number,
    lastId: number,
    graceMs: number,
    reason: Uint8Array,
  ): Code | undefined {
    const name = goawayKinds[kind] ?? "error";
    const code = goawayCode(wire);
    this.peerGoaway = true;
    this.handler?.goaway(
      name,
      code === "stream-failed" ? "internal-error" : code,
      graceMs,
      text.decoder.decode(reason),
    );
    if (name === "error") {
      this.finish(code);
      return undefined;
    }
    for (const stream of [...this.streams.values()]) {
      if (!this.isOwn(stream.id) || stream.id <= lastId) continue;
      const { handler } = stream;
      this.forget(stream);
      handler.reset("going-away");
    }
    return undefined;
  }

  // Sending

  private expectedBytes(framesGo: boolean): number {
    let bytes = 64 + this.credits.length * 12 + this.resets.length * 10;
    if (this.goawayToSend !== undefined) bytes += limits.maxReasonBytes + 16;
    const datagram = this.datagrams.peek();
    if (datagram !== undefined) bytes += datagram.payload.length + 8;
    // One or two streams are measured; more than that fill a message more often than not.
    const first = framesGo ? this.turns.peek() : undefined;
    if (first !== undefined)
      bytes += this.turns.length > 1 ? this.turns.length * 512 + first.waitingBytes : first.waitingBytes;
    return bytes;
  }

  private writeControl(writer: MessageWriter, nowMs: number): void {
    const received = this.ended ? undefined : this.ledger.tell();
    if (received !== undefined) writer.ack(received);
    this.writeCredits(writer, nowMs);
    const { goawayToSend } = this;
    if (goawayToSend !== undefined) {
      const { kind, code, graceMs } = goawayToSend;
      const reason = text.encoder.encode(goawayToSend.reason).subarray(0, limits.maxReasonBytes);
      if (writer.room < reason.length + 16) return;
      this.lastAccepted ??= this.highestPeerId;
      writer.goaway(kind, wireNumber(code), this.lastAccepted, graceMs, reason);
      this.goawayToSend = undefined;
    }
    let datagram = this.datagrams.peek();
    while (datagram !== undefined && writer.room >= datagram.payload.length + 8) {
      writer.datagram(datagram.id, datagram.payload);
      this.datagramBytes -= datagram.payload.length;
      this.datagrams.shift();
      datagram = this.datagrams.peek();
    }
  }

  private writeCredits(writer: MessageWriter, nowMs: number): void {
    const open: Stream[] = [];
    for (let room = Math.floor((writer.room - 4) / 12); room > 0 && this.credits.length > 0; ) {
      const stream = this.credits.shift();
      if (stream === undefined) break;
      stream.creditWaits = false;
      if (stream.closed) continue;
      open.push(stream);
      room--;
    }
    if (open.length === 0) return;
    const grow = (bytes: number) => this.options.memory.grow(bytes);
    writer.credit(open.length);
    for (const stream of open) writer.creditEntry(stream.id, stream.grant(nowMs, this.tripMs, grow));
  }

  private writeFrames(writer: MessageWriter): void {
    this.writeResets(writer);
    while (this.turns.length > 0) {
      const stream = this.turns.shift();
      if (stream === undefined) break;
      if (stream.closed) continue;
      if (!stream.fill(writer, this.turns.length > 0 ? limits.turnBytes : limits.maxMessageBytes)) {
        this.turns.unshift(stream);
        return;
      }
      stream.inTurn = false;
      this.ready(stream);
      if (writer.room < 64) break;
    }
    // A stream that ended with RESET behind its END wants it in the same message where it fits.
    this.writeResets(writer);
  }

  private writeResets(writer: MessageWriter): void {
    while (writer.room >= 10) {
      const reset = this.resets.shift();
      if (reset === undefined) return;
      writer.reset(reset.id, wireNumber(reset.code));
    }
  }

  // Ending

  private forget(stream: Stream): void {
    if (!this.streams.delete(stream.id)) return;
    if (this.isOwn(stream.id)) this.ownOpen--;
    else this.peerOpen--;
    this.options.memory.release(this.options.window, stream.window - this.options.window);
    stream.drop();
    if (this.streams.size > 0 || this.ledger.ackDueMs === undefined) return;
    this.ledger.hurry(this.nowMs);
    this.wake();
  }

  private finish(code: Code): void {
    if (this.ended) return;
    this.ended = true;
    for (const queue of [this.turns, this.credits, this.resets, this.datagrams]) queue.clear();
    for (const stream of [...this.streams.values()]) {
      const { handler } = stream;
      this.forget(stream);
      handler.reset(code);
    }
    this.ledger.clear();
    this.handler?.over(code);
  }

  private wake(): void {
    if (this.awake) return;
    this.awake = true;
    this.handler?.wake();
  }
}

/** Until the owner has said who handles a new stream. */
const unhandled: StreamHandler = { head() {}, data() {}, end() {}, left() {}, reset() {}, writable() {} };
