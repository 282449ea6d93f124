import { limits } from "../../shared/mux/limits.ts";
import { Memory } from "../../shared/mux/memory.ts";
import type { SessionRest } from "../../shared/mux/rest.ts";
import { Session } from "../../shared/mux/session.ts";
import type { SessionOptions } from "../../shared/mux/session-handler.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import { decodeMessage, type OracleRecord } from "../oracle/codec.ts";
import { OracleSession, type Verdict } from "../oracle/session.ts";
import { Talk } from "./talk.ts";

export interface PairOptions {
  /** First windows of the two sides. */
  agentWindow?: number;
  relayWindow?: number;
  /** How many streams each lets the other have open. */
  streams?: number;
  capBytes?: number;
  /** What the handshake is said to have taken. */
  tripMs?: number;
  /** Whether the reader of this stream of the peer is slow. */
  slow?: (id: number) => boolean;
}

/** A message that is or was on the wire. */
export interface Sent {
  bytes: Uint8Array;
  records: OracleRecord[];
  counted: boolean;
}

/** One side of the pair: a session, the oracle that watches what it sends and receives, and a talk for each stream. */
export class End {
  session: Session;
  readonly oracle: OracleSession;
  memory: Memory;
  readonly talks = new Map<number, Talk>();
  /** What has been sent to this side and not delivered. */
  readonly inbox: Sent[] = [];
  /** All that this side has sent. */
  readonly sent: Sent[] = [];
  /** `wake` was called since the last poll that gave nothing. */
  awake = false;
  /** Sizes of counted messages that this side has sent, in the order of their numbers. */
  readonly sentSizes: number[] = [];
  /** Counted messages that came on the present link, and the number of the first of them. */
  private arrivedSizes: number[] = [];
  private arrivedFrom = 1;
  over: string | undefined;
  goaways: string[] = [];

  constructor(
    readonly side: "agent" | "relay",
    readonly options: Required<PairOptions>,
  ) {
    const { streams, capBytes, tripMs } = options;
    const peerWindow = side === "agent" ? options.relayWindow : options.agentWindow;
    this.memory = new Memory(capBytes);
    this.session = this.make({ peerWindow, peerStreams: streams, tripMs }, 0);
    this.oracle = new OracleSession({ side, window: this.window, streams });
  }

  private get window(): number {
    return this.side === "agent" ? this.options.agentWindow : this.options.relayWindow;
  }

  /** Another process goes on with the session, and knows nothing but its rest. */
  beginAnew(rest: SessionRest, nowMs: number): void {
    const { peerWindow, peerStreams, tripMs } = rest;
    this.memory = new Memory(this.options.capBytes);
    this.session = this.make({ peerWindow, peerStreams, tripMs, rest }, nowMs);
    this.awake = false;
    if (this.oracle.suspended) this.session.suspend();
  }

  private make(
    options: Pick<SessionOptions, "peerWindow" | "peerStreams" | "tripMs" | "rest">,
    nowMs: number,
  ): Session {
    const { side, window, memory } = this;
    const session = new Session({ side, window, streams: this.options.streams, memory, ...options }, nowMs);
    session.handler = {
      opened: (stream: Stream): StreamHandler => {
        const talk = new Talk(side, this.options.slow(stream.id)).bind(stream);
        this.talks.set(stream.id, talk);
        return talk;
      },
      wake: () => {
        this.awake = true;
      },
      datagram: () => {},
      doubted: () => {},
      goaway: (kind, code) => this.goaways.push(`${kind} ${code}`),
      over: (code) => {
        this.over = code;
      },
    };
    return session;
  }

  /** Opens a stream with a head of `headBytes`; undefined where the session will not. */
  open(headBytes = 100, slow = false, kind = 1): Talk | undefined {
    const talk = new Talk(this.side, slow);
    const stream = this.session.open(kind, new Uint8Array(headBytes), talk);
    if (stream === undefined) return undefined;
    this.talks.set(stream.id, talk.bind(stream));
    return talk;
  }

  /** A counted message came, be it again. */
  arrived(bytes: number): void {
    this.arrivedSizes.push(bytes);
  }

  /** A new link, on which the peer's messages are numbered from `from`. */
  linked(from: number): void {
    this.arrivedSizes = [];
    this.arrivedFrom = from;
  }

  /** Bytes of counted messages that came on this link and are not acknowledged. */
  get untoldBytes(): number {
    return sum(this.arrivedSizes.slice(Math.max(0, this.oracle.ackedByMe + 1 - this.arrivedFrom)));
  }

  /** Bytes of counted messages that this side has sent and the peer has not acknowledged. */
  get unacknowledgedBytes(): number {
    return sum(this.sentSizes.slice(this.oracle.ackedByPeer));
  }

  /** What this side's readers have not taken yet. */
  get heldBytes(): number {
    return [...this.talks.values()].reduce((sum, talk) => sum + (talk.stream.closed ? 0 : talk.held), 0);
  }
}

/**
 * An agent's and a relay's session on a wire of arrays, with virtual time. Each step is watched: the oracle of the
 * receiving side must find no fault in it, what is in flight stays under its budget, acknowledgements are in time, and
 * what readers hold stays under the memory that was reserved. A side is polled only when it has asked for it, so that
 * a forgotten `wake` shows as a standstill.
 */
export class Pair {
  nowMs = 0;
  readonly agent: End;
  readonly relay: End;

  constructor(options: PairOptions = {}) {
    const all: Required<PairOptions> = {
      agentWindow: limits.initialWindowBytes,
      relayWindow: limits.initialWindowBytes,
      streams: 64,
      capBytes: 64 * 1_048_576,
      tripMs: 0,
      slow: () => false,
      ...options,
    };
    this.agent = new End("agent", all);
    this.relay = new End("relay", all);
  }

  get ends(): [End, End] {
    return [this.agent, this.relay];
  }

  peerOf(end: End): End {
    return end === this.agent ? this.relay : this.agent;
  }

  /** Polls once if the side has asked for it or its deadline has come. */
  poll(end: End): Sent | undefined {
    const { session } = end;
    const due = session.deadlineMs !== undefined && session.deadlineMs <= this.nowMs;
    if (!end.awake && !due) return undefined;
    const { unacknowledgedBytes, ledger } = session;
    const { sentCount } = end.oracle;
    end.awake = false;
    const bytes = session.poll(this.nowMs);
    if (bytes === undefined) {
      if (!end.oracle.suspended) this.checkQuiet(end);
      return undefined;
    }
    // A link goes on asking until there is nothing.
    end.awake = true;
    const { counted } = decodeMessage(bytes);
    const message = { bytes: bytes.slice(), records: end.oracle.sent(bytes), counted };
    if (bytes.length > limits.maxMessageBytes) throw new Error("a message is too large");
    if (end.oracle.sentCount > sentCount) {
      end.sentSizes.push(bytes.length);
      if (unacknowledgedBytes >= ledger.flight.budgetBytes)
        throw new Error("frames left above the flight budget");
    }
    end.sent.push(message);
    this.peerOf(end).inbox.push(message);
    this.checkBounds(end);
    return message;
  }

  /** Delivers the oldest message that is on its way to `end`. */
  deliver(end: End): Verdict[] | undefined {
    const message = end.inbox.shift();
    if (message === undefined) return undefined;
    if (message.counted) end.arrived(message.bytes.length);
    const verdicts = end.oracle.receive(message.bytes);
    for (const verdict of verdicts) this.checkVerdict(verdict, end);
    end.session.handleMessage(message.bytes, this.nowMs);
    this.checkBounds(end);
    return verdicts;
  }

  /** What a RESET or GOAWAY among honest sides means depends on the test. */
  checkVerdict(verdict: Verdict, end: End): void {
    if (verdict.verdict === "goaway" || verdict.verdict === "reset")
      throw new Error(
        `the oracle of the ${end.side} finds a fault in an honest peer: ${JSON.stringify(verdict)}`,
      );
  }

  /** The link is gone at both ends, with what was on its way. */
  cut(): void {
    for (const end of this.ends) {
      end.inbox.length = 0;
      end.session.suspend();
      end.oracle.suspend();
    }
  }

  /** A new link, after HELLO and WELCOME (PROTOCOL.md section 3.1); `told`: the agent's count in its HELLO. */
  resume({ told = this.agent.oracle.received, tripMs = 0 } = {}): void {
    const { agent, relay } = this;
    if (!agent.oracle.suspended) this.cut();
    const { received } = relay.oracle;
    const first = Math.max(told, relay.oracle.ackedByPeer) + 1;
    const faults = [
      relay.oracle.resume({ peerReceived: told, told: received, first }),
      agent.oracle.resume({ peerReceived: received, told, first }),
    ];
    if (faults.some((fault) => fault !== undefined)) throw new Error(`an oracle refuses: ${faults}`);
    relay.linked(received + 1);
    agent.linked(first);
    relay.session.resume({ peerReceived: first - 1, told: received, tripMs }, this.nowMs);
    agent.session.resume({ peerReceived: received, told: first - 1, tripMs }, this.nowMs);
  }

  /** Delivers and polls until nothing moves, with time going on from deadline to deadline. Fails when it does not end. */
  settle(maxSteps = 20_000): void {
    for (let step = 0; step < maxSteps; step++) if (!this.step()) return;
    throw new Error(`no rest after ${maxSteps} steps`);
  }

  /** The next thing that can happen; false when there is none. */
  step(): boolean {
    for (const end of this.ends) {
      if (end.awake) {
        this.poll(end);
        return true;
      }
    }
    for (const end of this.ends) if (this.deliver(end) !== undefined) return true;
    const deadlines = this.ends.map((end) => end.session.deadlineMs ?? Number.POSITIVE_INFINITY);
    const next = Math.min(...deadlines);
    if (next === Number.POSITIVE_INFINITY) return false;
    this.nowMs = Math.max(this.nowMs, next);
    for (const end of this.ends) this.poll(end);
    return true;
  }

  private checkBounds(end: End): void {
    const { session, memory } = end;
    const unacknowledged = end.unacknowledgedBytes;
    if (!session.over && unacknowledged !== session.unacknowledgedBytes)
      throw new Error(`${unacknowledged} bytes are unacknowledged, not ${session.unacknowledgedBytes}`);
    if (unacknowledged > limits.maxFlightBytes + limits.maxMessageBytes)
      throw new Error("flight is unbounded");
    if (memory.reservedBytes > memory.capBytes) throw new Error("more memory is reserved than there is");
    if (end.heldBytes > memory.reservedBytes) throw new Error("readers hold more than was reserved");
    if (memory.beside.now !== session.heldBytes)
      throw new Error(`${session.heldBytes} bytes wait for the peer, not ${memory.beside.now}`);
  }

  /** After a poll that gave nothing: what is owed may wait, but not above its bounds. */
  private checkQuiet(end: End): void {
    if (end.session.over) return;
    const untold = end.untoldBytes;
    if (untold >= limits.ackEveryBytes) throw new Error("65,536 bytes are not acknowledged");
    if (untold > 0 && (end.session.deadlineMs ?? Number.POSITIVE_INFINITY) > this.nowMs + limits.ackDelayMs)
      throw new Error(`an ACK is owed and has no deadline within ${limits.ackDelayMs} ms`);
  }
}

function sum(sizes: number[]): number {
  return sizes.reduce((all, size) => all + size, 0);
}
