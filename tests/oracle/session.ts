/**
 * A naive model of one side of a session, written from PROTOCOL.md alone: it is shown every message that its side sends
 * (`sent`) and receives (`receive`), in order, and says for each received record what the page demands. It never says
 * when something is sent; it is the judge of what was.
 *
 * Two uses: beside each of two honest sides, where it must never find a fault; and beside one side with a hostile
 * peer, where that side must answer as the model does.
 */
import { fromHex } from "./bytes.ts";
import { decodeMessage, isOptionalType, type OracleRecord } from "./codec.ts";
import type { GoawayCode, ResetCode } from "./codes.ts";

export type Verdict =
  /** `closes`: with it the stream is closed. */
  | { verdict: "deliver"; record: OracleRecord; closes?: boolean }
  | { verdict: "discard"; record: OracleRecord }
  | { verdict: "reset"; stream: number; code: ResetCode }
  | { verdict: "goaway"; code: GoawayCode };

export interface OracleSide {
  side: "agent" | "relay";
  /** What this side said in HELLO or WELCOME: the peer's first limit on each stream. */
  window: number;
  /** What this side said in HELLO or WELCOME: how many streams the peer may have open. */
  streams: number;
  /** Kinds of stream that this side serves; others are RESET `kind-unknown`. Absent: all. */
  kinds?: number[];
}

/** This side's view of a stream. */
interface OpenStream {
  /** What the peer has spent and may spend. */
  offset: number;
  limit: number;
  peerEnded: boolean;
  peerLeft: boolean;
  ended: boolean;
}

const frameOverhead = 64;
const highestId = 0xffff_ffff;

export class OracleSession {
  readonly streams = new Map<number, OpenStream>();
  highestOfPeer = 0;
  highestOfMine = 0;
  /** Counted messages, each way. */
  received = 0;
  sentCount = 0;
  /** The highest ACK each way. */
  ackedByPeer = 0;
  ackedByMe = 0;
  /** `last stream id` of this side's GOAWAY. */
  lastAccepted = highestId;
  over = false;

  constructor(private readonly side: OracleSide) {}

  /** How many of the peer's streams are open. */
  get openOfPeer(): number {
    return [...this.streams.keys()].filter((id) => this.isOfPeer(id)).length;
  }

  /** A binary message from the peer. */
  receive(bytes: Uint8Array): Verdict[] {
    if (this.over) return [];
    const message = decodeMessage(bytes);
    if (message.counted) this.received++;
    const verdicts: Verdict[] = [];
    for (const record of message.records) {
      const verdict = this.judge(record);
      verdicts.push(verdict);
      if (verdict.verdict === "goaway" || this.over) return verdicts;
    }
    if (message.fault !== undefined) verdicts.push(this.fail(message.fault));
    return verdicts;
  }

  /** A binary message of this side, as it is handed to the link. */
  sent(bytes: Uint8Array): OracleRecord[] {
    const message = decodeMessage(bytes);
    if (message.fault !== undefined)
      throw new Error(`this side sends a message that is itself a fault: ${message.fault}`);
    if (message.counted) this.sentCount++;
    for (const record of message.records) this.note(record);
    return message.records;
  }

  private judge(record: OracleRecord): Verdict {
    const deliver: Verdict = { verdict: "deliver", record };
    const discard: Verdict = { verdict: "discard", record };
    switch (record.record) {
      case "HELLO":
      case "WELCOME":
        // This model begins after the handshake: a second one.
        return this.fail("protocol-error");
      case "ACK":
        if (record.count > this.sentCount) return this.fail("protocol-error");
        this.ackedByPeer = Math.max(this.ackedByPeer, record.count);
        return deliver;
      case "CREDIT":
        for (const { stream } of record.limits) {
          if (this.isForbidden(stream)) return this.fail("protocol-error");
        }
        return deliver;
      case "GOAWAY":
        if (record.kind === "error") {
          this.over = true;
          this.streams.clear();
        }
        // What the peer did not look at is over here.
        for (const id of this.streams.keys()) {
          if (!this.isOfPeer(id) && id > record.lastStream) this.streams.delete(id);
        }
        return deliver;
      case "DATAGRAM":
        if (this.isForbidden(record.stream)) return this.fail("protocol-error");
        return this.streams.has(record.stream) ? deliver : discard;
      case "unknown control":
        return discard;
      case "OPEN":
        return this.judgeOpen(record.stream, record.kind, record.head, record);
      default:
        return this.judgeFrame(record);
    }
  }

  private judgeOpen(id: number, kind: number, head: string, record: OracleRecord): Verdict {
    if (!this.isOfPeer(id) || id <= this.highestOfPeer) return this.fail("protocol-error");
    this.highestOfPeer = id;
    if (id > this.lastAccepted) return { verdict: "discard", record };
    const cost = fromHex(head).length + frameOverhead;
    if (cost > this.side.window) return this.fail("flow-control-error");
    if (this.openOfPeer >= this.side.streams)
      return { verdict: "reset", stream: id, code: "too-many-streams" };
    if (this.side.kinds !== undefined && !this.side.kinds.includes(kind)) {
      return { verdict: "reset", stream: id, code: "kind-unknown" };
    }
    this.streams.set(id, {
      offset: cost,
      limit: this.side.window,
      peerEnded: false,
      peerLeft: false,
      ended: false,
    });
    return { verdict: "deliver", record };
  }

  private judgeFrame(record: OracleRecord & { stream: number }): Verdict {
    const id = record.stream;
    if (this.neverOpened(id)) return this.fail("protocol-error");
    const stream = this.streams.get(id);
    if (stream === undefined) return { verdict: "discard", record };
    switch (record.record) {
      case "HEAD":
      case "DATA": {
        if (stream.peerEnded) return this.reset(id, "stream-state");
        stream.offset +=
          fromHex(record.record === "HEAD" ? record.head : record.bytes).length + frameOverhead;
        if (stream.offset > stream.limit) return this.fail("flow-control-error");
        break;
      }
      case "END":
        if (stream.peerEnded) return this.reset(id, "stream-state");
        stream.peerEnded = true;
        if (stream.ended) this.streams.delete(id);
        return { verdict: "deliver", record, closes: stream.ended };
      case "RESET":
        this.streams.delete(id);
        // "Without an END before it, it counts as `stream-failed`."
        if (record.code === "no-error" && !stream.peerEnded) {
          return { verdict: "deliver", record: { ...record, code: "stream-failed" } };
        }
        break;
      case "LEFT":
        // "... or one from the side that did not open the stream, is ignored."
        if (!stream.peerEnded || stream.peerLeft || (id % 2 === 1) === (this.side.side === "agent")) {
          return { verdict: "discard", record };
        }
        stream.peerLeft = true;
        break;
      case "unknown frame":
        if (!isOptionalType(record.type)) return this.reset(id, "frame-unknown");
        return { verdict: "discard", record };
    }
    return { verdict: "deliver", record };
  }

  private note(record: OracleRecord): void {
    switch (record.record) {
      case "ACK":
        if (record.count > this.received) throw new Error("this side acknowledges what never came");
        this.ackedByMe = Math.max(this.ackedByMe, record.count);
        break;
      case "CREDIT":
        for (const { stream, limit } of record.limits) {
          const open = this.streams.get(stream);
          if (open !== undefined) open.limit = Math.max(open.limit, limit);
        }
        break;
      case "GOAWAY":
        if (record.kind === "error") this.over = true;
        this.lastAccepted = Math.min(this.lastAccepted, record.lastStream);
        break;
      case "OPEN":
        this.highestOfMine = record.stream;
        this.streams.set(record.stream, {
          offset: 0,
          limit: this.side.window,
          peerEnded: false,
          peerLeft: false,
          ended: false,
        });
        break;
      case "END": {
        const open = this.streams.get(record.stream);
        if (open === undefined) break;
        open.ended = true;
        if (open.peerEnded) this.streams.delete(record.stream);
        break;
      }
      case "RESET":
        this.streams.delete(record.stream);
        break;
    }
  }

  isOfPeer(id: number): boolean {
    const odd = id % 2 === 1;
    return odd === (this.side.side === "relay");
  }

  /** Of a CREDIT or DATAGRAM, which may run ahead of its sender's OPEN, but not of ours. */
  private isForbidden(id: number): boolean {
    return id === 0 || (this.neverOpened(id) && !this.isOfPeer(id));
  }

  private neverOpened(id: number): boolean {
    if (id === 0) return true;
    return id > (this.isOfPeer(id) ? this.highestOfPeer : this.highestOfMine);
  }

  private reset(stream: number, code: ResetCode): Verdict {
    this.streams.delete(stream);
    return { verdict: "reset", stream, code };
  }

  private fail(code: GoawayCode): Verdict {
    this.over = true;
    this.streams.clear();
    return { verdict: "goaway", code };
  }
}
