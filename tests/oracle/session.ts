/**
 * A naive model of one side of a session, written from PROTOCOL.md alone: it is shown every message that its side sends
 * (`sent`) and receives (`receive`), in order, and says for each received record what the page demands. It never says
 * when something is sent; it is the judge of what was. Between `suspend` and `resume` (section 3.1) there is no link.
 *
 * Two uses: beside each of two honest sides, where it must never find a fault; and beside one side with a hostile
 * peer, where that side must answer as the model does.
 */
import { fromHex } from "./bytes.ts";
import { decodeMessage, isFrame, isOptionalType, type OracleRecord } from "./codec.ts";
import type { GoawayCode, ResetCode } from "./codes.ts";
import { OracleNumbers, type OracleResumption } from "./numbers.ts";

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
  /** `last stream id` of this side's GOAWAY. */
  lastAccepted = highestId;
  over = false;
  suspended = false;
  private readonly numbers: OracleNumbers;
  /** What this side owes its peer on a new link before any counted message: limits by stream, and its GOAWAY. */
  private owedCredit = new Map<number, number>();
  private owesGoaway = false;
  /** Streams whose CREDIT was owed and not said: nothing but a RESET may come for them. */
  private readonly passedOver = new Set<number>();
  /** The latest GOAWAY of this side. */
  private said: (OracleRecord & { record: "GOAWAY" }) | undefined;

  constructor(private readonly side: OracleSide) {
    this.numbers = new OracleNumbers(side.side);
  }

  /** Counted messages, each way. */
  get received(): number {
    return this.numbers.received;
  }
  get sentCount(): number {
    return this.numbers.sent;
  }
  /** The highest ACK each way. */
  get ackedByPeer(): number {
    return this.numbers.ackedByPeer;
  }
  get ackedByMe(): number {
    return this.numbers.ackedByMe;
  }

  /** The link is gone, or dropped. Nothing that it still brings is read. */
  suspend(): void {
    this.suspended = true;
  }

  /**
   * The handshake of a resume is done on a new link: what this side sends next is held against step 5. Tells the code
   * that this side must refuse with, if what the peer said can't be: GOAWAY error, by the agent with the session's end.
   */
  resume(resumption: OracleResumption): GoawayCode | undefined {
    const fault = this.numbers.resume(resumption);
    if (fault !== undefined) return fault;
    this.suspended = false;
    this.owesGoaway = this.said !== undefined;
    this.passedOver.clear();
    this.owedCredit = new Map(
      [...this.streams]
        .filter(([, { limit, peerEnded }]) => limit > this.side.window && !peerEnded)
        .map(([id, { limit }]) => [id, limit]),
    );
    return undefined;
  }

  /** The session has ended without a GOAWAY: its window has passed, or the relay gave a fresh one. */
  end(): void {
    this.over = true;
    this.streams.clear();
    this.numbers.clear();
  }

  /** What a resume makes this side say, and it has not said. Empty at rest. */
  get owed(): string[] {
    const owed = [...this.owedCredit]
      .filter(([id]) => this.streams.get(id)?.peerEnded === false)
      .map(([id, limit]) => `CREDIT of stream ${id} to ${limit}`);
    if (this.owesGoaway) owed.push("GOAWAY");
    const { nextAgain } = this.numbers;
    if (nextAgain !== undefined) owed.push(`message ${nextAgain}`);
    return this.over || this.suspended ? [] : owed;
  }

  /** How many of the peer's streams are open. */
  get openOfPeer(): number {
    return [...this.streams.keys()].filter((id) => this.isOfPeer(id)).length;
  }

  /** A binary message from the peer. */
  receive(bytes: Uint8Array): Verdict[] {
    if (this.over || this.suspended) return [];
    const message = this.numbers.receive(decodeMessage(bytes));
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
    if (this.suspended) throw new Error("this side sends while it has no link");
    const again = message.counted && this.numbers.nextAgain !== undefined;
    if (again) this.numbers.checkAgain(bytes, message.records);
    else for (const record of message.records) this.note(record);
    if (!message.counted) return message.records;
    if (this.owesGoaway) throw new Error("frames leave before the GOAWAY that is owed");
    this.passOver();
    if (!again) this.numbers.keep(bytes);
    return message.records;
  }

  /** Frames have left: CREDIT that was owed till now may only be missing because a RESET of its stream still waits. */
  private passOver(): void {
    for (const id of this.owedCredit.keys()) this.passedOver.add(id);
    this.owedCredit.clear();
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
        this.numbers.acknowledge(record.count);
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
      case "DOUBT":
        // "... or of the agent, is ignored."
        return this.side.side === "agent" ? deliver : discard;
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
    this.checkPassedOver(record);
    switch (record.record) {
      case "ACK":
        if (record.count > this.received) throw new Error("this side acknowledges what never came");
        this.numbers.ackedByMe = Math.max(this.ackedByMe, record.count);
        break;
      case "CREDIT":
        for (const { stream, limit } of record.limits) {
          const open = this.streams.get(stream);
          if (open !== undefined) open.limit = Math.max(open.limit, limit);
          // The present limit may be above the one that was told last, never below.
          if (limit >= (this.owedCredit.get(stream) ?? 0)) this.owedCredit.delete(stream);
        }
        break;
      case "GOAWAY":
        if (record.kind === "error") this.over = true;
        if (record.lastStream > this.lastAccepted) throw new Error("this side raises its last stream id");
        if (this.owesGoaway && this.said !== undefined) this.checkRestated(record, this.said);
        this.said = record;
        this.owesGoaway = false;
        this.lastAccepted = Math.min(this.lastAccepted, record.lastStream);
        break;
      case "DATAGRAM":
        // "A sender lets no datagram go before the message with the flow's OPEN": on this link.
        if (this.neverOpened(record.stream) || this.numbers.opensAgain(record.stream))
          throw new Error(`a datagram of stream ${record.stream} leaves before its OPEN`);
        if (this.streams.get(record.stream)?.ended !== false)
          throw new Error(`a datagram leaves after the end of stream ${record.stream}`);
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

  private checkPassedOver(record: OracleRecord): void {
    const ids = record.record === "CREDIT" ? record.limits.map(({ stream }) => stream) : [];
    if (isFrame(record) && record.record !== "RESET" && "stream" in record) ids.push(record.stream);
    const late = ids.find((id) => this.passedOver.has(id) && this.streams.has(id));
    if (late !== undefined)
      throw new Error(`frames left before the CREDIT of stream ${late} that was owed, and it goes on`);
  }

  /** "Its last GOAWAY, with what is left of its grace"; a later one in its place is stronger. */
  private checkRestated(
    record: OracleRecord & { record: "GOAWAY" },
    said: OracleRecord & { record: "GOAWAY" },
  ): void {
    const strength = ["drain", "bye", "error"];
    const isLater = strength.indexOf(record.kind) > strength.indexOf(said.kind);
    const isSame = record.kind === said.kind && record.code === said.code && record.graceMs <= said.graceMs;
    if (!isSame && !isLater) throw new Error("this side says another GOAWAY than its last");
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
