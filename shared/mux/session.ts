import { type Code, goawayCode, resetCode } from "../errors.ts";
import { Allowance } from "./allowance.ts";
import { RecordType } from "./frame.ts";
import { Ledger } from "./ledger.ts";
import { limits } from "./limits.ts";
import type { Memory } from "./memory.ts";
import { type MessageHandler, readMessage } from "./message.ts";
import { Outbox } from "./outbox.ts";
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
  /** What the handshake took; 0: not known. */
  readonly tripMs?: number;
}

const decoder = new TextDecoder();

/**
 * One multiplexed conversation, after the handshake: streams, credit, turns, counting, acknowledgement, GOAWAY. Pure:
 * messages and `nowMs` go in, `poll` hands messages out, and `deadlineMs` tells when to call it at the latest.
 */
export class Session implements StreamHost {
  /** Set before the first message. */
  handler: SessionHandler | undefined;
  private readonly streams = new Map<number, Stream>();
  private readonly ledger: Ledger;
  private readonly outbox: Outbox;
  private counted = false;
  private nextId: number;
  private ownOpen = 0;
  private peerOpen = 0;
  private highestPeerId = 0;
  /** Of the OPENs that were written. */
  private highestOwnId = 0;
  private readonly peerResetsAllowed: Allowance;
  /** The last stream id of our GOAWAY, once said. */
  private lastAccepted: number | undefined;
  private peerGoaway = false;
  private ended = false;
  private awake = false;
  private readonly reader: MessageHandler;

  constructor(
    private readonly options: SessionOptions,
    private nowMs: number,
  ) {
    this.ledger = new Ledger(options.tripMs ?? 0);
    this.outbox = new Outbox(this.ledger, (bytes) => options.memory.grow(bytes));
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
        if (!this.mayMention(id)) return "protocol-error";
        stream?.raise(limit);
        return undefined;
      },
      goaway: (kind, wire, lastId, graceMs, reason) => this.peerLeaves(kind, wire, lastId, graceMs, reason),
      datagram: (id, payload) => {
        const stream = this.streams.get(id);
        if (!this.mayMention(id)) return "protocol-error";
        if (stream !== undefined) this.handler?.datagram(stream, payload);
        return undefined;
      },
      open: (id, kind, fields) => this.peerOpens(id, kind, fields),
      frame: (type, id, payload) => {
        const stream = this.streams.get(id);
        if (stream === undefined) return this.everOpened(id) ? undefined : "protocol-error";
        // Our OPEN is still waiting here, so the peer can't know the stream.
        if (!stream.announced) return "protocol-error";
        // Only who opened the stream has a visitor that can leave.
        if (type === RecordType.left) {
          if (!this.isOwn(id)) stream.receiveLeft();
        } else if (stream.peerEnded) return this.failed(stream, "stream-state");
        else return stream.receive(type, payload);
        return undefined;
      },
      reset: (id, wire) => this.peerResets(id, wire),
      unknownFrame: (id, optional) => {
        const stream = this.streams.get(id);
        if (stream?.announced === true && !optional) return this.failed(stream, "frame-unknown");
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
  /** One side has said GOAWAY: no new streams. */
  get leaving(): boolean {
    return this.ended || this.peerGoaway || this.lastAccepted !== undefined;
  }
  /** Every open stream has something to send: to wait for more before sending gains nothing. */
  get allWaiting(): boolean {
    const { waitingStreams } = this.outbox;
    return waitingStreams > 0 && waitingStreams >= this.streams.size;
  }
  /** At rest: no streams, nothing to send, nothing unacknowledged either way. */
  get resting(): boolean {
    return this.streams.size === 0 && this.outbox.pendingResets === 0 && this.ledger.settled;
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
    if (fields.length > limits.maxHeadFieldsBytes)
      throw new RangeError("head fields are too large for a frame");
    if (
      this.ended ||
      this.peerGoaway ||
      this.lastAccepted !== undefined ||
      this.ownOpen >= options.peerStreams
    )
      return undefined;
    if (this.nextId > 0xffff_ffff) {
      this.goaway("drain", "going-away", limits.usedUpGraceMs, "");
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
    this.outbox.addDatagram(stream.id, payload);
    this.wake();
  }

  /** Says GOAWAY: no new streams from the peer. `error` ends the session at once. */
  goaway(kind: GoawayKind, code: Code, graceMs: number, reason: string): void {
    if (this.ended) return;
    this.lastAccepted ??= this.highestPeerId;
    this.outbox.setGoaway({
      kind: goawayKinds.indexOf(kind),
      code,
      lastId: this.lastAccepted,
      graceMs,
      reason,
    });
    if (kind === "error") this.finish(code);
    this.wake();
  }

  /** The link is gone and nothing will resume it. */
  lost(code: Code): void {
    this.outbox.setGoaway(undefined);
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
    const frames = !this.ended && !ledger.flight.full && this.outbox.hasFrames;
    if (!frames && !this.outbox.hasControl && !ledger.ackIsDue(nowMs)) return undefined;
    return this.outbox.compose(nowMs, { frames, acks: !this.ended });
  }

  // StreamHost

  ready(stream: Stream): void {
    if (stream.inTurn || !stream.sendable) return;
    this.outbox.addTurn(stream);
    this.wake();
  }

  announced(stream: Stream): void {
    this.highestOwnId = stream.id;
  }

  credit(stream: Stream): void {
    this.outbox.addCredit(stream);
    this.wake();
  }

  close(stream: Stream, resetWith?: Code): void {
    if (stream.closed) return;
    if (resetWith !== undefined && stream.announced) {
      this.outbox.addReset(stream.id, resetWith);
      this.wake();
    }
    this.forget(stream);
    if (this.outbox.pendingResets > limits.maxPendingResets) this.goaway("error", "too-many-resets", 0, "");
  }

  // Receiving

  private everOpened(id: number): boolean {
    if (id === 0) return false;
    return id <= (this.isOwn(id) ? this.highestOwnId : this.highestPeerId);
  }

  /** Control records run ahead of frames, so the peer's own next ids may be named early. */
  private mayMention(id: number): boolean {
    return id !== 0 && (!this.isOwn(id) || id <= this.highestOwnId);
  }

  private isOwn(id: number): boolean {
    return (id & 1) === (this.options.side === "agent" ? 1 : 0);
  }

  private acknowledge(count: number): Code | undefined {
    const fault = this.ledger.acknowledged(count, this.nowMs);
    if (fault === undefined && this.outbox.hasFrames) this.wake();
    return fault;
  }

  private peerOpens(id: number, kind: number, fields: Uint8Array): Code | undefined {
    const { options } = this;
    if (id === 0 || this.isOwn(id) || id <= this.highestPeerId) return "protocol-error";
    this.highestPeerId = id;
    if (this.lastAccepted !== undefined) return undefined;
    if (fields.length + limits.frameCost > options.window) return "flow-control-error";
    if (this.peerOpen >= options.streams || !options.memory.admit(options.window)) {
      this.outbox.addReset(id, "too-many-streams");
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
    if (stream?.announced !== true) return this.everOpened(id) ? undefined : "protocol-error";
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
    return this.outbox.pendingResets > limits.maxPendingResets || !this.peerResetsAllowed.take(this.nowMs)
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
    this.handler?.goaway(name, code, graceMs, decoder.decode(reason));
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
    this.outbox.clear();
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
