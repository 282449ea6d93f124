import { limits } from "../../shared/mux/limits.ts";
import { Memory } from "../../shared/mux/memory.ts";
import { Session } from "../../shared/mux/session.ts";
import { decodeMessage } from "../oracle/codec.ts";
import { OracleSession } from "../oracle/session.ts";
import { Talk } from "./talk.ts";

export type Side = "agent" | "relay";

export type Step =
  | { do: "open"; side: Side; slow: boolean }
  | { do: "write" | "take"; side: Side; pick: number; size: number }
  | { do: "end" | "reset"; side: Side; pick: number }
  | { do: "poll" | "deliver"; side: Side; times: number }
  | { do: "wait"; ms: number }
  | { do: "drain"; side: Side }
  /** The agent's link dies; a resume's HELLO leaves, reaches the relay, its WELCOME reaches the agent, or it fails. */
  | { do: "cut" | "hello" | "answer" | "welcome" | "give up" };

/** What is on its way on one link. */
interface Wire {
  agent: Uint8Array[];
  relay: Uint8Array[];
}

interface Attempt {
  readonly wire: Wire;
  /** HELLO's `received`. */
  readonly told: number;
  welcome?: { readonly first: number; readonly received: number };
}

/** One side: its session, the oracle that watches it, and a talk for each stream. */
class Mover {
  readonly session: Session;
  readonly oracle: OracleSession;
  readonly memory = new Memory(64 * 1_048_576);
  readonly talks = new Map<number, Talk>();
  /** undefined: suspended. */
  wire: Wire | undefined;

  constructor(readonly side: Side) {
    const window = limits.initialWindowBytes;
    this.session = new Session(
      { side, window, peerWindow: window, streams: 16, peerStreams: 16, memory: this.memory },
      0,
    );
    this.oracle = new OracleSession({ side, window, streams: 16 });
    this.session.handler = {
      opened: (stream) => {
        const talk = new Talk(side, stream.id % 3 === 0).bind(stream);
        this.talks.set(stream.id, talk);
        return talk;
      },
      wake: () => {},
      datagram: () => {},
      doubted: () => {},
      goaway: () => {},
      over: (code) => {
        throw new Error(`the session of the ${side} is over: ${code}`);
      },
    };
  }

  get open(): Talk[] {
    return [...this.talks.values()].filter((talk) => !talk.stream.closed && !talk.deaf);
  }

  suspend(): void {
    if (this.wire === undefined) return;
    this.wire = undefined;
    this.session.suspend();
    this.oracle.suspend();
  }
}

/**
 * An agent's and a relay's session that go from link to link as section 3.1 of PROTOCOL.md has it: the agent goes on
 * with its old link until WELCOME comes, the relay drops it on HELLO, and any link dies with what is on its way.
 */
export class Moving {
  readonly agent = new Mover("agent");
  readonly relay = new Mover("relay");
  private attempt: Attempt | undefined;
  private nowMs = 0;

  /** `reached`: what the schedules went through, counted. */
  constructor(private readonly reached = new Map<string, number>()) {
    const wire: Wire = { agent: [], relay: [] };
    this.agent.wire = wire;
    this.relay.wire = wire;
  }

  run(step: Step): void {
    switch (step.do) {
      case "wait":
        this.nowMs += step.ms;
        return;
      case "cut":
        this.agent.suspend();
        return;
      case "hello":
        if (this.attempt === undefined)
          this.attempt = { wire: { agent: [], relay: [] }, told: this.agent.session.ledger.received };
        return;
      case "answer":
        this.answer();
        return;
      case "welcome":
        this.welcome();
        return;
      case "give up":
        if (this.attempt?.welcome !== undefined) this.note("an answer that was lost");
        this.attempt = undefined;
        return;
    }
    const mover = this[step.side];
    switch (step.do) {
      case "open": {
        const talk = new Talk(step.side, step.slow);
        const stream = mover.session.open(1, new Uint8Array(100), talk);
        if (stream !== undefined) mover.talks.set(stream.id, talk.bind(stream));
        return;
      }
      case "drain":
        mover.session.goaway("drain", "going-away", 30_000, "");
        // It is said at the next poll, and counts from now.
        mover.oracle.lastAccepted = Math.min(mover.oracle.lastAccepted, mover.oracle.highestOfPeer);
        return;
      case "poll":
      case "deliver":
        for (let time = 0; time < step.times; time++) this[step.do](mover);
        return;
    }
    const talk = mover.open[step.pick % Math.max(mover.open.length, 1)];
    if (talk === undefined) return;
    if (step.do === "write" && !talk.full) talk.write(step.size);
    if (step.do === "take") talk.take(step.size);
    if (step.do === "end") talk.writeEnd();
    if (step.do === "reset") talk.writeReset("cancelled");
  }

  /** Brings the session onto a link that lives, ends all streams, and reads them to their end. */
  windUp(): void {
    for (const what of ["hello", "answer", "welcome"] as const) this.run({ do: what });
    for (let round = 0; round < 20_000; round++) {
      let moves = false;
      for (const mover of [this.agent, this.relay]) moves = this.poll(mover) || this.deliver(mover) || moves;
      if (moves) continue;
      const open = [...this.agent.open, ...this.relay.open];
      this.nowMs += 30;
      if (open.length === 0 && this.isAtRest) return;
      for (const talk of open) {
        talk.writeEnd();
        talk.take(40_000);
      }
    }
    throw new Error("the session does not come to rest on a link that lives");
  }

  /** What must not be, at rest. */
  faults(): string[] {
    const faults: string[] = [];
    for (const { side, session, oracle, memory, talks } of [this.agent, this.relay]) {
      const peer = side === "agent" ? this.relay : this.agent;
      if (session.openStreams + oracle.streams.size > 0) faults.push(`${side}: streams are left`);
      if (memory.reservedBytes !== 0) faults.push(`${side}: memory is left`);
      if (!session.resting) faults.push(`${side}: does not rest`);
      faults.push(...oracle.owed.map((what) => `${side}: owes ${what}`));
      if (session.ledger.received !== oracle.received || session.ledger.received !== peer.oracle.sentCount)
        faults.push(`${side}: has another count than its peer`);
      for (const [id, talk] of talks) {
        const other = peer.talks.get(id);
        const cut = talk.deaf || talk.heardReset !== undefined || other?.deaf === true;
        if (!cut && other?.heardReset === undefined && talk.written !== other?.read)
          faults.push(`${side}: ${other?.read} bytes of ${talk.written} came on stream ${id}`);
      }
    }
    return faults;
  }

  private get isAtRest(): boolean {
    return this.agent.session.resting && this.relay.session.resting;
  }

  /** The relay reads HELLO: it drops its link, and only then counts. */
  private answer(): void {
    const { attempt, relay } = this;
    if (attempt === undefined || attempt.welcome !== undefined) return;
    relay.suspend();
    const { session, oracle } = relay;
    const told = session.ledger.received;
    if (oracle.ackedByPeer > attempt.told) this.note("an ACK overtook the HELLO");
    const first = Math.max(attempt.told, session.ledger.acknowledgedCount) + 1;
    attempt.welcome = { first, received: told };
    this.resume(relay, attempt.wire, { peerReceived: attempt.told, told, first }, told);
  }

  private welcome(): void {
    const { attempt, agent } = this;
    if (attempt?.welcome === undefined) return;
    this.attempt = undefined;
    agent.suspend();
    const { first, received } = attempt.welcome;
    this.resume(agent, attempt.wire, { peerReceived: received, told: attempt.told, first }, first - 1);
    this.note("resumed");
  }

  private resume(
    mover: Mover,
    wire: Wire,
    said: { readonly peerReceived: number; readonly told: number; readonly first: number },
    told: number,
  ): void {
    const fault = mover.oracle.resume(said);
    if (fault !== undefined) throw new Error(`the ${mover.side}'s oracle refuses an honest peer: ${fault}`);
    if (mover.oracle.owed.some((what) => what.startsWith("CREDIT"))) this.note("CREDIT restated");
    if (mover.oracle.owed.some((what) => what.startsWith("message"))) this.note("sent again");
    if (mover.oracle.owed.includes("GOAWAY")) this.note("GOAWAY restated");
    mover.wire = wire;
    mover.session.resume({ peerReceived: said.peerReceived, told, tripMs: 0 }, this.nowMs);
  }

  private poll(mover: Mover): boolean {
    const bytes = mover.session.poll(this.nowMs);
    if (bytes === undefined) return false;
    mover.oracle.sent(bytes);
    mover.wire?.[mover.side === "agent" ? "relay" : "agent"].push(bytes.slice());
    return true;
  }

  private deliver(mover: Mover): boolean {
    const bytes = mover.wire?.[mover.side].shift();
    if (bytes === undefined) return false;
    const { received } = mover.oracle;
    for (const verdict of mover.oracle.receive(bytes))
      if (verdict.verdict === "goaway" || verdict.verdict === "reset")
        throw new Error(
          `the ${mover.side}'s oracle finds a fault in an honest peer: ${JSON.stringify(verdict)}`,
        );
    if (decodeMessage(bytes).counted && mover.oracle.received === received) this.note("received before");
    mover.session.handleMessage(bytes, this.nowMs);
    return true;
  }

  private note(what: string): void {
    this.reached.set(what, (this.reached.get(what) ?? 0) + 1);
  }
}
