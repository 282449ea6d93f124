import { type Hello, readHello, readWelcome, type Welcome } from "../../shared/handshake.ts";
import { frameBit, RecordType, readCount, readU24, recordHeaderBytes } from "../../shared/mux/frame.ts";
import type { Machine } from "./machine.ts";
import type { SideName, WireWatcher } from "./wire.ts";
import type { World } from "./world.ts";

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

interface SessionWatch {
  /** The process that holds it. */
  readonly relay: Machine;
  /** By the side that receives. */
  readonly ways: Readonly<Record<SideName, Way>>;
  attempt: number;
}

/** A HELLO that was sent, for those who would send it again. */
export interface KeptHello {
  readonly hello: Hello;
  readonly sentMs: number;
}

/**
 * Looks at all that goes over all links, as somebody who knows PROTOCOL.md and nothing of the sessions: numbers go on
 * over links, what is sent again is the same, nobody acknowledges what has not come, and attempts rise.
 */
export class Watch {
  readonly hellos: KeptHello[] = [];
  readonly #sessions = new Map<string, SessionWatch>();
  /** The highest attempt that a relay has heard, by instance and slot. */
  readonly #attempts = new Map<string, number>();

  constructor(private readonly world: World) {}

  /** One for each link. `forged`: its HELLO must not be believed. */
  wire(relay: Machine, { forged }: { readonly forged: boolean }): WireWatcher {
    const { world } = this;
    const seen = new WireWatch(world, relay, this.#sessions, forged);
    return {
      sent: (from, bytes) => {
        const hello = seen.sent(from, bytes);
        if (hello !== undefined && !forged) this.hellos.push({ hello, sentMs: world.nowMs });
      },
      arrived: (to, bytes) => {
        const hello = seen.arrived(to, bytes);
        if (hello === undefined || forged) return;
        this.#attempts.set(placeOf(hello), Math.max(hello.attempt, this.#attempts.get(placeOf(hello)) ?? 0));
      },
    };
  }

  /** Whether a relay has heard this HELLO, or a later one of its place: then this one is stale. */
  isStale(hello: Hello): boolean {
    return hello.attempt <= (this.#attempts.get(placeOf(hello)) ?? 0);
  }
}

class WireWatch {
  #session: SessionWatch | undefined;
  /** Heard by the relay. */
  #hello: Hello | undefined;
  /** The numbers of the latest counted message on this link, by the side that receives. */
  readonly #sent: Record<SideName, number> = { agent: 0, relay: 0 };
  readonly #arrived: Record<SideName, number> = { agent: 0, relay: 0 };

  constructor(
    private readonly world: World,
    private readonly relay: Machine,
    private readonly sessions: Map<string, SessionWatch>,
    private readonly forged: boolean,
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
    const known = resume && this.sessions.get(resume.session);
    if (known && !this.forged) this.#tell(known.ways.agent, received, "HELLO");
    return hello.value;
  }

  arrived(to: SideName, bytes: Uint8Array): Hello | undefined {
    if (this.#session === undefined) {
      if (to !== "relay") return undefined;
      const hello = readHello(bytes);
      if (hello.kind === "ok") this.#hello = hello.value;
      return this.#hello;
    }
    if (bytes[0] === RecordType.welcome || framesAt(bytes) === undefined) return undefined;
    const number = ++this.#arrived[to];
    const way = this.#session.ways[to];
    way.arrived = Math.max(way.arrived, number);
    return undefined;
  }

  #welcomed({ session: id, resumed, first, received }: Welcome): void {
    const hello = this.#hello;
    if (hello === undefined) return this.world.fail("a WELCOME without a HELLO");
    let session = this.sessions.get(id);
    if (!resumed) {
      if (session !== undefined) this.world.fail("a session id is given twice");
      session = { relay: this.relay, ways: { agent: new Way(), relay: new Way() }, attempt: 0 };
      this.sessions.set(id, session);
    } else {
      if (this.forged) this.world.fail("a forged HELLO is believed");
      if (session?.relay !== this.relay) return this.world.fail("a session is resumed that never began");
      if (hello.attempt <= session.attempt) this.world.fail("an old attempt is accepted");
      this.#tell(session.ways.relay, received, "WELCOME");
      if (first <= hello.received || first > session.ways.agent.arrived + 1)
        this.world.fail(`first is ${first}, after ${hello.received} of ${session.ways.agent.arrived}`);
    }
    session.attempt = hello.attempt;
    this.#session = session;
    this.#sent.agent = this.#arrived.agent = first - 1;
    this.#sent.relay = this.#arrived.relay = received;
  }

  #sentInSession(session: SessionWatch, from: SideName, bytes: Uint8Array): void {
    const count = ackOf(bytes);
    if (count !== undefined) this.#tell(session.ways[from], count, "ACK");
    const at = framesAt(bytes);
    if (at === undefined) return;
    const to = from === "agent" ? "relay" : "agent";
    const way = session.ways[to];
    const number = ++this.#sent[to];
    const digest = Bun.hash.xxHash32(bytes.subarray(at));
    if (number > way.sent + 1) this.world.fail(`message ${number} follows ${way.sent}`);
    if (number === way.sent + 1) {
      way.sent = number;
      way.digests.set(number, digest);
    } else if (number > way.told && way.digests.get(number) !== digest) {
      this.world.fail(`message ${number} is another when it is sent again`);
    }
  }

  /** Somebody says how many messages of this way it has received. */
  #tell(way: Way, count: number, where: string): void {
    if (count > way.arrived)
      this.world.fail(`${where} tells ${count} messages, and ${way.arrived} have come`);
    for (; way.told < count; way.told++) way.digests.delete(way.told + 1);
  }
}

/** The place in a pool that a HELLO is for. */
function placeOf({ instance, slot }: Hello): string {
  return `${instance} ${slot}`;
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
