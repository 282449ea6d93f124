import { type Code, goawayCode, resetCode } from "../errors.ts";
import { Allowance } from "./allowance.ts";
import { RecordType } from "./frame.ts";
import { Ledger } from "./ledger.ts";
import { limits } from "./limits.ts";
import { firstReserve } from "./memory.ts";
import { type MessageHandler, readMessage } from "./message.ts";
import { type Goaway, Outbox } from "./outbox.ts";
import type { SessionRest } from "./rest.ts";
import type { GoawayKind, Resumption, SessionHandler, SessionOptions } from "./session-handler.ts";
import { Stream } from "./stream.ts";
import { type StreamHandler, type StreamHost, silentHandler } from "./stream-handler.ts";
import { StreamTable } from "./stream-table.ts";

const goawayKinds: readonly GoawayKind[] = ["drain", "bye", "error"];
const decoder = new TextDecoder();

/**
 * One multiplexed conversation, after the handshake: streams, credit, turns, counting, acknowledgement, GOAWAY. Pure:
 * messages and `nowMs` go in, `poll` hands messages out, and `deadlineMs` tells when to call it at the latest. It
 * outlives links: between `suspend` and `resume` it gives out nothing, and its streams wait.
 */
export class Session implements StreamHost {
  /** Set before the first message. */
  handler: SessionHandler | undefined;
  private readonly streams: StreamTable;
  /** Counts and measurements, for whoever watches over the link and makes the handshake. To be read only. */
  readonly ledger: Ledger;
  private readonly outbox: Outbox;
  private counted = false;
  private suspended = false;
  private readonly peerResetsAllowed: Allowance;
  /** The last stream id of our GOAWAY, once said. */
  private lastAccepted: number | undefined;
  private said: Goaway | undefined;
  private saidMs = 0;
  private peerGoaway = false;
  private peerAccepts = Number.POSITIVE_INFINITY;
  private ended = false;
  private awake = false;
  /** Made for the first message: thousands of idle sessions get none, and it weighs 0.6 KiB (measured). */
  private reader: MessageHandler | undefined;

  constructor(
    readonly options: SessionOptions,
    private nowMs: number,
  ) {
    this.ledger = new Ledger(options.tripMs ?? 0, options.memory, options.rest);
    this.outbox = new Outbox(this.ledger, options.memory);
    this.streams = new StreamTable(options.side, options.rest);
    this.peerResetsAllowed = new Allowance(limits.resetBurst, limits.resetsPerSecond, nowMs);
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
  /** Bytes sent and not acknowledged. */
  get unacknowledgedBytes(): number {
    return this.ledger.flight.unacknowledgedBytes;
  }
  /** No new streams of ours: the peer has said GOAWAY, or we have and it was no drain, or the ids are used up. */
  get leaving(): boolean {
    return this.ended || this.peerGoaway || (this.said?.kind ?? 0) > 0 || this.streams.next === undefined;
  }
  get saysGoaway(): boolean {
    return this.said !== undefined;
  }
  /** The peer may be waiting for an ACK: what there is had better not wait for more. */
  get hurries(): boolean {
    return this.ledger.owesMuch;
  }
  /** Bytes that wait here for the peer: to be sent, or to be acknowledged. */
  get heldBytes(): number {
    const { ledger, outbox, streams } = this;
    const waiting = ledger.heldBytes + outbox.datagrams.heldBytes;
    return streams.all().reduce((sum, { heldForPeer }) => sum + heldForPeer, waiting);
  }
  get resting(): boolean {
    return this.streams.size === 0 && this.outbox.pendingResets === 0 && this.ledger.settled;
  }
  /** What it takes to go on from here in another process; undefined: it is not at rest, or about to leave. */
  get rest(): SessionRest | undefined {
    if (!this.resting || this.saysGoaway || this.leaving || this.outbox.hasControl) return undefined;
    const { ledger, options, tripMs, streams } = this;
    const { peerWindow, peerStreams } = options;
    return { ...ledger.counts, ...streams.ids, peerWindow, peerStreams, tripMs };
  }
  /** When `poll` must be called at the latest; undefined: not before something happens. */
  get deadlineMs(): number | undefined {
    return this.suspended ? undefined : this.ledger.ackDueMs;
  }

  /** The link is gone: nothing goes out until `resume`. Datagrams that waited are dropped. */
  suspend(): void {
    this.suspended = true;
    this.outbox.unlink();
  }

  /** Goes on, on another link: what the old one lost is sent again, what it said for the moment is said anew. */
  resume(resumption: Resumption, nowMs: number): void {
    if (this.ended) return;
    this.nowMs = nowMs;
    this.suspended = false;
    this.outbox.unlink();
    this.ledger.resume(resumption.peerReceived, resumption.told, resumption.tripMs);
    for (const stream of this.streams.all()) if (stream.wantsCredit) this.outbox.addCredit(stream);
    if (this.said !== undefined) {
      const graceMs = Math.max(0, this.said.graceMs - Math.round(nowMs - this.saidMs));
      this.outbox.setGoaway({ ...this.said, graceMs });
    }
    this.wake();
  }

  /**
   * Opens a stream of `kind` with encoded head fields. undefined: not now (the peer is leaving, or a limit is reached).
   * Throws RangeError when the head is larger than any peer could take.
   */
  open(kind: number, fields: Uint8Array, handler: StreamHandler): Stream | undefined {
    const { options } = this;
    if (fields.length > limits.maxHeadFieldsBytes)
      throw new RangeError("head fields are too large for a frame");
    if (this.ended || this.streams.own >= options.peerStreams) return undefined;
    const id = this.streams.next;
    if (id === undefined && this.said === undefined)
      this.goaway("drain", "going-away", limits.usedUpGraceMs, "");
    if (id === undefined || this.leaving) return undefined;
    if (!options.memory.admit(firstReserve(kind, options.window), fields.length)) return undefined;
    const { peerWindow, window } = options;
    const stream = new Stream(this, id, kind, handler, peerWindow, window, this.nowMs, fields);
    this.streams.add(stream);
    this.ready(stream);
    return stream;
  }

  /** Tells the agent that the link of this slot of its is suspect. */
  doubt(slot: number): void {
    if (this.ended || this.suspended) return;
    this.outbox.addDoubt(slot);
    this.wake();
  }

  /** Says GOAWAY: no new streams from the peer. `error` ends the session at once. */
  goaway(kind: GoawayKind, code: Code, graceMs: number, reason: string, nowMs = this.nowMs): void {
    if (this.ended) return;
    this.saidMs = nowMs;
    this.lastAccepted ??= this.streams.highestPeerId;
    this.said = { kind: goawayKinds.indexOf(kind), code, lastId: this.lastAccepted, graceMs, reason };
    this.outbox.setGoaway(this.said);
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
    if (this.ended || this.suspended) return;
    this.nowMs = nowMs;
    this.counted = false;
    const fault = readMessage(bytes, (this.reader ??= this.makeReader()));
    if (fault !== undefined) this.goaway("error", fault, 0, "");
    if (!this.counted || this.ended) return;
    this.ledger.owe(bytes.length, nowMs);
    if (this.ledger.ackDueMs !== undefined) this.wake();
  }

  /** In place of `poll` while the link takes nothing: datagrams that wait grow old. */
  tick(nowMs: number): void {
    const { datagrams } = this.outbox;
    datagrams.tick(nowMs);
    if (datagrams.heldBytes > 0) this.awake = false;
  }

  /** The next message for the link, or undefined when nothing may or need be sent now. */
  poll(nowMs: number): Uint8Array | undefined {
    this.nowMs = nowMs;
    this.awake = false;
    if (this.suspended) return undefined;
    const { ledger, outbox } = this;
    outbox.datagrams.tick(nowMs);
    if (ledger.hasAgain && !this.ended) {
      // What is told for the moment goes ahead: a peer that waits for credit need not wait for the rest.
      const first =
        outbox.hasControl || ledger.ackIsDue(nowMs)
          ? outbox.compose(nowMs, { frames: false, datagrams: false, acks: true })
          : undefined;
      return first ?? ledger.again(nowMs);
    }
    const frames = !this.ended && !ledger.flight.full && outbox.hasFrames;
    const datagrams = outbox.datagramsMayGo(nowMs);
    if (!frames && !datagrams && !outbox.hasControl && !ledger.ackIsDue(nowMs)) return undefined;
    return outbox.compose(nowMs, { frames, datagrams, acks: !this.ended });
  }

  // StreamHost

  ready(stream: Stream): void {
    if (stream.inTurn || !stream.sendable) return;
    this.outbox.addTurn(stream);
    this.wake();
  }

  announced(stream: Stream): void {
    this.streams.highestOwnId = stream.id;
    this.outbox.datagrams.announced(stream);
  }

  sendDatagram(stream: Stream, payload: Uint8Array): boolean {
    if (this.ended || this.suspended || stream.closed) return false;
    if (payload.length > limits.maxDatagramBytes) return true;
    this.outbox.datagrams.add(stream, payload);
    this.wake();
    return true;
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
    if (!this.suspended && this.outbox.pendingResets > limits.maxPendingResets)
      this.goaway("error", "too-many-resets", 0, "");
  }

  private makeReader(): MessageHandler {
    const isOver = () => this.ended;
    const { streams } = this;
    return {
      get over() {
        return isOver();
      },
      counted: () => {
        this.counted = true;
        return this.ledger.arrives();
      },
      ack: (count) => this.acknowledge(count),
      credit: (id, limit) => {
        if (!streams.mayMention(id)) return "protocol-error";
        streams.get(id)?.raise(limit);
        return undefined;
      },
      goaway: (kind, wire, lastId, graceMs, reason) => this.peerLeaves(kind, wire, lastId, graceMs, reason),
      datagram: (id, payload) => {
        const stream = streams.get(id);
        if (!streams.mayMention(id)) return "protocol-error";
        if (stream !== undefined) this.handler?.datagram(stream, payload);
        return undefined;
      },
      doubt: (slot) => this.handler?.doubted(slot),
      open: (id, kind, fields) => this.peerOpens(id, kind, fields),
      frame: (type, id, payload) => {
        const stream = streams.get(id);
        if (stream === undefined) return streams.everOpened(id) ? undefined : "protocol-error";
        // Our OPEN is still waiting here, so the peer can't know the stream.
        if (!stream.announced) return "protocol-error";
        // Only who opened the stream has a visitor that can leave.
        if (type === RecordType.left) {
          if (!streams.isOwn(id)) stream.receiveLeft();
        } else if (stream.peerEnded) return this.failed(stream, "stream-state");
        else return stream.receive(type, payload);
        return undefined;
      },
      reset: (id, wire) => this.peerResets(id, wire),
      unknownFrame: (id, optional) => {
        const stream = streams.get(id);
        if (stream?.announced === true && !optional) return this.failed(stream, "frame-unknown");
        return streams.everOpened(id) ? undefined : "protocol-error";
      },
    };
  }

  private acknowledge(count: number): Code | undefined {
    const fault = this.ledger.acknowledged(count, this.nowMs);
    const { hasFrames, datagrams } = this.outbox;
    if (fault === undefined && (hasFrames || datagrams.heldBytes > 0 || this.ledger.hasAgain)) this.wake();
    return fault;
  }

  private peerOpens(id: number, kind: number, fields: Uint8Array): Code | undefined {
    const { options, streams } = this;
    if (id === 0 || streams.isOwn(id) || id <= streams.highestPeerId) return "protocol-error";
    streams.highestPeerId = id;
    if (this.lastAccepted !== undefined) return undefined;
    if (fields.length + limits.frameCost > options.window) return "flow-control-error";
    if (streams.peers >= options.streams || !options.memory.admit(firstReserve(kind, options.window))) {
      this.outbox.addReset(id, "too-many-streams");
      this.wake();
      return this.blame();
    }
    const stream = new Stream(this, id, kind, silentHandler, options.peerWindow, options.window, this.nowMs);
    streams.add(stream);
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
    if (stream?.announced !== true) return this.streams.everOpened(id) ? undefined : "protocol-error";
    const code = resetCode(wire);
    this.dropped(stream, code === "no-error" && !stream.peerEnded ? "stream-failed" : code);
    // A relay passes on what visitors do: one who comes and goes all the time must not cost the others their streams.
    return this.streams.isOwn(id) || this.options.side === "agent" ? undefined : this.blame();
  }

  /** Resets a stream for what the peer sent on it. */
  private failed(stream: Stream, code: Code): Code | undefined {
    stream.fail(code);
    return this.streams.isOwn(stream.id) ? undefined : this.blame();
  }

  /** One more stream of the peer's ended in a RESET through its own doing. */
  private blame(): Code | undefined {
    const { options, outbox, peerResetsAllowed, nowMs } = this;
    if (outbox.pendingResets > limits.maxPendingResets) return "too-many-resets";
    return options.passesOn === true || peerResetsAllowed.take(nowMs) ? undefined : "too-many-resets";
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
    // Whoever is told may end the session at once.
    if (name !== "error") this.peerAccepts = lastId;
    this.handler?.goaway(name, code, graceMs, decoder.decode(reason));
    if (name === "error") this.finish(code);
    for (const stream of this.streams.all()) if (this.isRefused(stream)) this.dropped(stream, "unprocessed");
    return undefined;
  }

  private dropped(stream: Stream, code: Code): void {
    const { handler } = stream;
    this.forget(stream);
    handler.reset(code);
  }

  private forget(stream: Stream): void {
    if (!this.streams.remove(stream)) return;
    if (stream.isBulk) this.outbox.bulkWindow = stream.window;
    this.options.memory.release(firstReserve(stream.kind, this.options.window), stream.grownBytes);
    this.outbox.datagrams.forget(stream);
    stream.drop();
  }

  private finish(code: Code): void {
    if (this.ended) return;
    this.ended = true;
    this.outbox.clear();
    for (const stream of this.streams.all())
      this.dropped(stream, stream.announced && !this.isRefused(stream) ? code : "unprocessed");
    this.ledger.clear();
    this.handler?.over(code);
  }

  /** The peer has left, and said that it has not looked at this one. */
  private isRefused({ id }: Stream): boolean {
    return this.streams.isOwn(id) && id > this.peerAccepts;
  }

  private wake(): void {
    if (this.awake) return;
    this.awake = true;
    this.handler?.wake();
  }
}
