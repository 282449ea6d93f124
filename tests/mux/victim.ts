import type { Code } from "../../shared/errors.ts";
import { limits } from "../../shared/mux/limits.ts";
import { Memory } from "../../shared/mux/memory.ts";
import { Session } from "../../shared/mux/session.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import { toHex } from "../oracle/bytes.ts";
import { encodeMessage, type OracleRecord } from "../oracle/codec.ts";
import { OracleSession, type Verdict } from "../oracle/session.ts";

export interface VictimOptions {
  side?: "agent" | "relay";
  streams?: number;
  /** Readers take everything at once; otherwise nothing ever. */
  reads?: boolean;
}

/** The kind that the victim does not serve. */
export const unservedKind = 9;

/**
 * A session whose peer is hostile, with the oracle beside it. `attack` shows a message to both and compares all that
 * follows: what was delivered, which streams were told what, and the RESETs and GOAWAY that were sent.
 */
export class Victim {
  readonly session: Session;
  readonly oracle: OracleSession;
  readonly memory = new Memory(256 * 1_048_576);
  readonly streams = new Map<number, Stream>();
  readonly side: "agent" | "relay";
  nowMs = 0;
  /** The peer has said GOAWAY. */
  private left = false;
  /** Everything that was told to the session's and the streams' handlers. */
  private events: string[] = [];
  /** Streams of ours whose OPEN the oracle has not seen. */
  private readonly unsent = new Set<number>();
  private readonly reads: boolean;

  constructor(options: VictimOptions = {}) {
    const { side = "relay", streams = 8, reads = false } = options;
    const window = limits.initialWindowBytes;
    this.reads = reads;
    this.side = side;
    this.session = new Session(
      { side, window, peerWindow: window, streams, peerStreams: 8, memory: this.memory },
      0,
    );
    const kinds = Array.from({ length: 256 }, (_, kind) => kind).filter((kind) => kind !== unservedKind);
    this.oracle = new OracleSession({ side, window, streams, kinds });
    this.session.handler = {
      opened: (stream, fields) => {
        if (stream.kind === unservedKind) return undefined;
        this.events.push(`OPEN ${stream.id} ${stream.kind} ${toHex(fields)}`);
        return this.listen(stream);
      },
      wake: () => {},
      datagram: (stream, payload) => this.events.push(`DATAGRAM ${stream.id} ${toHex(payload)}`),
      doubted: (slot) => {
        // Only a relay says it: one of an agent is nobody's.
        if (side === "agent") this.events.push(`DOUBT ${slot}`);
      },
      goaway: (kind, code, graceMs, reason) => {
        this.left = true;
        this.events.push(`GOAWAY ${kind} ${code} ${graceMs} ${reason}`);
      },
      over: (code) => this.events.push(`over ${code}`),
    };
  }

  get mayOpen(): boolean {
    const { session, oracle } = this;
    return !session.over && !this.left && session.openStreams - oracle.openOfPeer < 8;
  }

  /** Opens a stream of the victim's and sends what that makes, unless it is to stay `unsent`. */
  open(options: { unsent?: boolean } = {}): Stream {
    let id = 0;
    const handler = this.handler(() => id);
    const stream = this.session.open(1, new Uint8Array(3), handler);
    if (stream === undefined) throw new Error("the victim may not open");
    id = stream.id;
    this.streams.set(id, stream);
    if (options.unsent === true) this.unsent.add(id);
    else this.flush();
    return stream;
  }

  /** One message, without a look at what follows. */
  feed(records: OracleRecord[]): void {
    const bytes = encodeMessage(records);
    this.oracle.receive(bytes);
    this.session.handleMessage(bytes, this.nowMs);
  }

  /** Polls until nothing is left to send; the oracle sees all. */
  flush(): OracleRecord[] {
    const records: OracleRecord[] = [];
    for (let messages = 0; messages < 2_000; messages++) {
      const bytes = this.session.poll(this.nowMs);
      if (bytes === undefined) return records;
      records.push(...this.oracle.sent(bytes));
      this.unsent.clear();
    }
    throw new Error("the victim does not stop sending");
  }

  /** One message of records, or of bytes. Returns the answer in short: `goaway CODE`, `reset ID CODE`..., or nothing. */
  attack(message: OracleRecord[] | Uint8Array): string[] {
    const bytes = message instanceof Uint8Array ? message : encodeMessage(message);
    const wasOver = this.oracle.over;
    const openBefore = new Set([...this.oracle.streams.keys(), ...this.unsentOpen()]);
    const verdicts = this.oracle.receive(bytes);
    this.events = [];
    this.session.handleMessage(bytes, this.nowMs);
    const expected = this.expectedEvents(verdicts, openBefore, this.events);
    if (JSON.stringify(this.events) !== JSON.stringify(expected)) {
      throw new Error(
        `the session told\n  ${this.events.join("\n  ")}\nand the oracle expects\n  ${expected.join("\n  ")}`,
      );
    }
    const sent = this.flush();
    const answers = sent.flatMap((record) => {
      if (record.record === "RESET") return [`reset ${record.stream} ${record.code}`];
      if (record.record === "GOAWAY") return [`goaway ${record.code}`];
      return [];
    });
    const wanted = verdicts.flatMap((verdict) => {
      if (verdict.verdict === "reset") return [`reset ${verdict.stream} ${verdict.code}`];
      if (verdict.verdict === "goaway") return [`goaway ${verdict.code}`];
      return [];
    });
    // A GOAWAY takes the place of the RESETs before it: they say nothing more.
    const last = wanted.at(-1);
    const final = last?.startsWith("goaway") === true ? [last] : this.peerHasLeft(verdicts) ? [] : wanted;
    if (JSON.stringify(answers) !== JSON.stringify(final))
      throw new Error(`the session answers [${answers}] and the oracle expects [${final}]`);
    if (wasOver && sent.length > 0) throw new Error("a session that is over sends");
    if (this.oracle.over) this.checkFreed();
    return answers;
  }

  /** All is given back. */
  checkFreed(): void {
    const { session, memory } = this;
    const rest = [
      session.openStreams,
      memory.reservedBytes,
      session.unacknowledgedBytes,
      session.deadlineMs ?? 0,
    ];
    if (!session.over || rest.some((left) => left !== 0))
      throw new Error(`streams, memory, unacknowledged, deadline are left: ${rest}`);
  }

  private unsentOpen(): number[] {
    return [...this.unsent].filter((id) => this.streams.get(id)?.closed === false);
  }

  private peerHasLeft(verdicts: Verdict[]): boolean {
    return verdicts.some(
      (one) => one.verdict === "deliver" && one.record.record === "GOAWAY" && this.oracle.over,
    );
  }

  private listen(stream: Stream): StreamHandler {
    this.streams.set(stream.id, stream);
    return this.handler(() => stream.id);
  }

  private handler(id: () => number): StreamHandler {
    const { events } = { events: () => this.events };
    return {
      head: (fields) => events().push(`HEAD ${id()} ${toHex(fields)}`),
      data: (bytes) => {
        events().push(`DATA ${id()} ${toHex(bytes)}`);
        if (this.reads) this.streams.get(id())?.held(0);
      },
      end: () => events().push(`END ${id()}`),
      left: () => events().push(`LEFT ${id()}`),
      reset: (code: Code) => events().push(`RESET ${id()} ${code}`),
      writable: () => {},
    };
  }

  /** `open`: ids that were open before. `actual` gives the order where the page leaves it free: who is told first of an end. */
  private expectedEvents(verdicts: Verdict[], open: Set<number>, actual: string[]): string[] {
    const expected: string[] = [];
    const endAll = (code: string) => {
      // What never left was not looked at.
      const resets = [...open].map((id) => `RESET ${id} ${this.unsent.has(id) ? "unprocessed" : code}`);
      const order = (event: string) => actual.lastIndexOf(event);
      expected.push(...resets.sort((a, b) => order(a) - order(b)), `over ${code}`);
      open.clear();
    };
    for (const verdict of verdicts) {
      if (verdict.verdict === "goaway") endAll(verdict.code);
      else if (verdict.verdict === "reset") {
        if (open.delete(verdict.stream)) expected.push(`RESET ${verdict.stream} ${verdict.code}`);
      } else if (verdict.verdict === "deliver") {
        const { record } = verdict;
        switch (record.record) {
          case "OPEN":
            open.add(record.stream);
            expected.push(`OPEN ${record.stream} ${record.kind} ${record.head}`);
            break;
          case "HEAD":
            expected.push(`HEAD ${record.stream} ${record.head}`);
            break;
          case "DATA":
            expected.push(`DATA ${record.stream} ${record.bytes}`);
            break;
          case "DATAGRAM":
            expected.push(`DATAGRAM ${record.stream} ${record.bytes}`);
            break;
          case "DOUBT":
            expected.push(`DOUBT ${record.slot}`);
            break;
          case "END":
            expected.push(`END ${record.stream}`);
            if (verdict.closes === true) open.delete(record.stream);
            break;
          case "LEFT":
            expected.push(`LEFT ${record.stream}`);
            break;
          case "RESET":
            expected.push(`RESET ${record.stream} ${record.code}`);
            open.delete(record.stream);
            break;
          case "GOAWAY": {
            const { kind, code, graceMs, reason, lastStream } = record;
            expected.push(`GOAWAY ${kind} ${code} ${graceMs} ${reason}`);
            if (kind === "error") endAll(code);
            else
              for (const id of [...open].filter((one) => !this.oracle.isOfPeer(one) && one > lastStream)) {
                expected.push(`RESET ${id} unprocessed`);
                open.delete(id);
              }
            break;
          }
        }
      }
    }
    return expected;
  }
}
