import { type Hello, readHello, readWelcome, type Welcome } from "../../shared/handshake.ts";
import {
  frameBit,
  frameHeaderBytes,
  RecordType,
  readCount,
  readU24,
  readU32,
  recordHeaderBytes,
} from "../../shared/mux/frame.ts";
import type { Machine } from "./machine.ts";
import type { Wire } from "./wire.ts";
import type { SideName } from "./wire-end.ts";
import type { World } from "./world.ts";

const watchLimits = {
  /** 25 ms by PROTOCOL.md section 5, and time for a process that is busy. */
  ackWithinMs: 100,
  /** A driver hands nothing to a link on which so much waits. */
  fullBytes: 262_144,
} as const;

/** Counted messages that go one way in a session, over all its links. */
class Way {
  /** The number of the latest that was sent, and of the latest that arrived. */
  sent = 0;
  arrived = 0;
  /** The highest count that the receiver has told. */
  told = 0;
  /** Of each message whose number is above `told`: what its frames were. */
  readonly digests = new Map<number, number>();
}

/** Who is at the agent's end: one of the agents, who says again what one has said, or who has made it up. */
export type Dialler = "agent" | "ghost" | "forger";

/** What is known of a session by what went over its links. */
export interface SessionWatch {
  /** The processes that hold it; a relay's may end at rest, and another goes on with it. */
  relay: Machine;
  readonly agent: Machine;
  /** The latest link that it was put on. */
  wire: Wire;
  /** By the side that receives. */
  readonly ways: Readonly<Record<SideName, Way>>;
  attempt: number;
  /** When each side got the last message of it. */
  readonly heardMs: Record<SideName, number>;
  /** Who has said GOAWAY: it is said again on each link. */
  readonly leaving: Record<SideName, boolean>;
}

/** One link, as `Watch` sees it. */
export class WireWatch {
  #session: SessionWatch | undefined;
  /** Heard by the relay. */
  #hello: Hello | undefined;
  /** The numbers of the latest counted message on this link, by the side that receives. */
  readonly #sent: Record<SideName, number> = { agent: 0, relay: 0 };
  readonly #arrived: Record<SideName, number> = { agent: 0, relay: 0 };
  /** The highest ACK on this link, by the side that said it. */
  readonly #told: Record<SideName, number> = { agent: 0, relay: 0 };
  readonly #saidGoaway: Record<SideName, boolean> = { agent: false, relay: false };
  /** Somebody will look whether this side has acknowledged. */
  readonly #looksLater: Record<SideName, boolean> = { agent: false, relay: false };

  constructor(
    private readonly options: {
      readonly world: World;
      readonly wire: Wire;
      readonly dialler: Dialler;
      readonly sessions: Map<string, SessionWatch>;
      readonly exchanges: Map<number, SessionWatch>;
      /** The agent has heard that this session is gone. */
      readonly fresh: (gone: SessionWatch) => void;
    },
  ) {}

  sent(from: SideName, bytes: Uint8Array): Hello | undefined {
    const session = this.#session;
    if (session !== undefined) {
      this.#sentInSession(session, from, bytes);
      return undefined;
    }
    if (from === "relay") {
      const welcome = readWelcome(bytes);
      if (welcome.kind === "ok") this.#welcomed(welcome.value);
      return undefined;
    }
    const hello = readHello(bytes);
    if (hello.kind !== "ok") return undefined;
    const { resume, received } = hello.value;
    const known = resume && this.options.sessions.get(resume.session);
    if (known && this.options.dialler === "agent") this.#tell(known.ways.agent, received, "HELLO");
    return hello.value;
  }

  arrived(to: SideName, bytes: Uint8Array): Hello | undefined {
    if (this.#session === undefined) {
      if (to !== "relay") return undefined;
      const hello = readHello(bytes);
      if (hello.kind === "ok") this.#hello = hello.value;
      return this.#hello;
    }
    this.#session.heardMs[to] = this.options.world.nowMs;
    if (bytes[0] === RecordType.welcome) {
      const gone = this.options.sessions.get(this.#hello?.resume?.session ?? "");
      const { dialler } = this.options;
      if (dialler === "agent" && gone !== undefined && gone !== this.#session) this.options.fresh(gone);
      return undefined;
    }
    if (framesAt(bytes) === undefined) return undefined;
    const number = ++this.#arrived[to];
    const way = this.#session.ways[to];
    way.arrived = Math.max(way.arrived, number);
    if (!this.#looksLater[to]) this.#lookLater(to, number);
    return undefined;
  }

  /** What has come is acknowledged soon, whatever the readers do; unless the side does not run, or its link is full. */
  #lookLater(side: SideName, number: number): void {
    const { world, wire } = this.options;
    const end = wire.ends[side];
    const cameMs = world.nowMs;
    this.#looksLater[side] = true;
    world.at(cameMs + watchLimits.ackWithinMs, () => {
      this.#looksLater[side] = false;
      const { machine, state, queued } = end;
      const mayWait = machine.stopped || machine.wentOnMs >= cameMs || queued >= watchLimits.fullBytes;
      if (state !== "open" || machine.dead || mayWait || this.#told[side] >= number) return;
      world.fail(`the ${side} does not acknowledge message ${number}`);
    });
  }

  #welcomed({ session: id, resumed, first, received }: Welcome): void {
    const hello = this.#hello;
    if (hello === undefined) return this.options.world.fail("a WELCOME without a HELLO");
    let session = this.options.sessions.get(id);
    if (!resumed) {
      if (session !== undefined) this.options.world.fail("a session id is given twice");
      const { wire, world } = this.options;
      const ways = { agent: new Way(), relay: new Way() };
      session = {
        ...{ relay: wire.ends.relay.machine, agent: wire.ends.agent.machine, wire, ways, attempt: 0 },
        heardMs: { agent: world.nowMs, relay: 0 },
        leaving: { agent: false, relay: false },
      };
      this.options.sessions.set(id, session);
    } else {
      if (this.options.dialler === "forger") this.options.world.fail("a forged HELLO is believed");
      if (session?.relay !== this.options.wire.ends.relay.machine)
        return this.options.world.fail("a session is resumed that never began");
      if (hello.attempt <= session.attempt) this.options.world.fail("an old attempt is accepted");
      this.#tell(session.ways.relay, received, "WELCOME");
      if (first <= hello.received || first > session.ways.agent.arrived + 1)
        this.options.world.fail(
          `first is ${first}, after ${hello.received} of ${session.ways.agent.arrived}`,
        );
    }
    session.attempt = hello.attempt;
    session.wire = this.options.wire;
    session.heardMs.relay = this.options.world.nowMs;
    this.#session = session;
    this.#sent.agent = this.#arrived.agent = this.#told.agent = first - 1;
    this.#sent.relay = this.#arrived.relay = this.#told.relay = received;
  }

  #sentInSession(session: SessionWatch, from: SideName, bytes: Uint8Array): void {
    const count = ackOf(bytes);
    if (count !== undefined) {
      this.#tell(session.ways[from], count, "ACK");
      this.#told[from] = Math.max(this.#told[from], count);
    }
    const at = framesAt(bytes);
    if (hasGoaway(bytes, at ?? bytes.length)) session.leaving[from] = this.#saidGoaway[from] = true;
    if (at === undefined) return;
    if (session.leaving[from] && !this.#saidGoaway[from])
      this.options.world.fail(`the ${from} does not say again that it is leaving`);
    const to = from === "agent" ? "relay" : "agent";
    const way = session.ways[to];
    const number = ++this.#sent[to];
    // Sent again, an OPEN says nothing new: its request may have gone to another session since.
    if (from === "relay" && number > way.sent) this.#noteOpens(session, bytes, at);
    const digest = Bun.hash.xxHash32(bytes.subarray(at));
    if (number > way.sent + 1) this.options.world.fail(`message ${number} follows ${way.sent}`);
    if (number <= way.sent && at > 0)
      this.options.world.fail(`message ${number} has control records when it is sent again`);
    if (number === way.sent + 1) {
      way.sent = number;
      way.digests.set(number, digest);
    } else if (number > way.told && way.digests.get(number) !== digest) {
      this.options.world.fail(`message ${number} is another when it is sent again`);
    }
  }

  #noteOpens(session: SessionWatch, bytes: Uint8Array, from: number): void {
    for (let at = from; at < bytes.length; at += recordHeaderBytes + readU24(bytes, at + 1)) {
      const head = at + frameHeaderBytes + 1;
      if (bytes[at] === RecordType.open) this.options.exchanges.set(readU32(bytes, head), session);
    }
  }

  /** Somebody says how many messages of this way it has received. */
  #tell(way: Way, count: number, where: string): void {
    if (count > way.arrived)
      this.options.world.fail(`${where} tells ${count} messages, and ${way.arrived} have come`);
    for (; way.told < count; way.told++) way.digests.delete(way.told + 1);
  }
}

/** Whether there is a GOAWAY among the control records, which end before `to`. */
function hasGoaway(bytes: Uint8Array, to: number): boolean {
  for (let at = 0; at < to; at += recordHeaderBytes + readU24(bytes, at + 1))
    if (bytes[at] === RecordType.goaway) return true;
  return false;
}

/** The count of an ACK, which is the first record if it is there. */
function ackOf(bytes: Uint8Array): number | undefined {
  return bytes[0] === RecordType.ack ? readCount(bytes, recordHeaderBytes) : undefined;
}

/** Where the frames begin; undefined: there are none, so the message is not counted. */
function framesAt(bytes: Uint8Array): number | undefined {
  for (let at = 0; at < bytes.length; at += recordHeaderBytes + readU24(bytes, at + 1))
    if (((bytes[at] ?? 0) & frameBit) !== 0) return at;
  return undefined;
}
