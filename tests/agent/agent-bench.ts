import { Agent, type AgentSettings, type RelayDoor } from "../../agent/agent.ts";
import type { AgentEvent } from "../../agent/screen/events.ts";
import type { Clock } from "../../shared/clock.ts";
import type { GivenName, LinkPlace, NameWish } from "../../shared/dial/place.ts";
import { Driver } from "../../shared/driver.ts";
import { type Code, UnderpassError } from "../../shared/errors.ts";
import { type Hello, readHello, writeWelcome } from "../../shared/handshake.ts";
import type { Link } from "../../shared/link.ts";
import { memoryLinks } from "../../shared/links/memory.ts";
import { Memory } from "../../shared/mux/memory.ts";
import { Session } from "../../shared/mux/session.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import { VirtualClock } from "./virtual-clock.ts";

/** A stream's handler that does nothing. */
export const silent: StreamHandler = { head() {}, data() {}, end() {}, left() {}, reset() {}, writable() {} };

/** A link as the relay got it, with the agent's HELLO. */
export interface Dialled {
  readonly name: string;
  /** The session to resume, by the dial's path. */
  readonly session: string | undefined;
  readonly token: string | undefined;
  readonly hello: Hello;
  readonly link: Link;
  /** Says WELCOME and runs a session: a fresh one, as a relay that was restarted does. */
  welcome(): Driver;
  /** Says WELCOME to a resume, and goes on with the session. */
  resume(): Driver;
}

/** Answers dials in the order in which they come: with `refuse`, else with a link. */
export class FakeRelay implements RelayDoor {
  readonly refuse: Code[] = [];
  readonly names: string[] = ["blue"];
  /** What its WELCOMEs name. */
  relays: string[] = [];
  /** Nobody is there. */
  isDown = false;
  dials = 0;
  readonly #clock: Clock;
  readonly #dialled: Dialled[] = [];
  readonly #waiting: ((dialled: Dialled) => void)[] = [];
  readonly #sessions: Map<string, Driver>;

  /** `sessions`: of all relays of its cluster, to which it passes links on. */
  constructor(clock: Clock, sessions = new Map<string, Driver>()) {
    this.#clock = clock;
    this.#sessions = sessions;
  }

  openLink(
    { name, session }: LinkPlace,
    token: string | undefined,
    done: (result: Link | UnderpassError) => void,
  ): () => void {
    this.dials++;
    const code = this.isDown ? "relay-unreachable" : this.refuse.shift();
    this.#clock.soon(() => {
      if (code !== undefined) {
        done(new UnderpassError(code));
        return;
      }
      const [near, far] = memoryLinks(this.#clock);
      far.handler = {
        heard() {},
        message: (bytes) => {
          const hello = readHello(bytes);
          if (hello.kind === "goaway") return;
          if (hello.kind !== "ok") throw new Error("no HELLO");
          this.#arrived({
            name,
            session,
            token,
            hello: hello.value,
            link: far,
            welcome: () => this.#welcome(far, hello.value, name),
            resume: () => this.#resume(far, hello.value),
          });
        },
        text() {},
        drained() {},
        closed() {},
      };
      done(near);
    });
    return () => {};
  }

  requestName(
    _token: string | undefined,
    _wish: NameWish,
    done: (result: GivenName | UnderpassError) => void,
  ): () => void {
    const code = this.isDown ? "relay-unreachable" : this.refuse.shift();
    this.#clock.soon(() =>
      done(code === undefined ? { name: this.names.shift() ?? "none" } : new UnderpassError(code)),
    );
    return () => {};
  }

  next(): Promise<Dialled> {
    const dialled = this.#dialled.shift();
    return dialled === undefined
      ? new Promise((resolve) => this.#waiting.push(resolve))
      : Promise.resolve(dialled);
  }

  #arrived(dialled: Dialled): void {
    const waiter = this.#waiting.shift();
    if (waiter === undefined) this.#dialled.push(dialled);
    else waiter(dialled);
  }

  #resume(link: Link, hello: Hello): Driver {
    const id = hello.resume?.session ?? "";
    const driver = this.#sessions.get(id);
    if (driver === undefined) throw new Error("nothing to resume");
    driver.unlink();
    const { acknowledgedCount, received } = driver.session.ledger;
    const peerReceived = Math.max(hello.received, acknowledgedCount);
    link.send(
      writeWelcome({
        ...{ version: 1, features: [], session: id, resumed: true, first: peerReceived + 1, received },
        ...{ window: 131_072, streams: 16, generation: 1, resumeWindowMs: 60_000, urls: [] },
        ...(this.relays.length > 0 && { relays: this.relays }),
      }),
    );
    driver.link(link, () => {}, { peerReceived, told: received, tripMs: 0 });
    return driver;
  }

  #welcome(link: Link, hello: Hello, name: string): Driver {
    const id = `s${this.#sessions.size}`;
    link.send(
      writeWelcome({
        version: 1,
        features: [],
        session: id,
        secret: "A".repeat(43),
        resumed: false,
        first: 1,
        received: 0,
        window: 131_072,
        streams: 16,
        generation: 1,
        resumeWindowMs: 60_000,
        urls: [`http://${name}.localhost`],
        ...(this.relays.length > 0 && { relays: this.relays }),
      }),
    );
    const session = new Session(
      {
        side: "relay",
        window: 131_072,
        peerWindow: hello.window,
        streams: 16,
        peerStreams: hello.streams,
        memory: new Memory(2 ** 26),
      },
      this.#clock.now(),
    );
    const handler = { opened: () => undefined, goaway() {}, linkState() {}, doubted() {}, over() {} };
    const driver = new Driver(session, this.#clock, handler, {
      pingsWhenIdle: false,
      resumeWindowMs: 60_000,
    });
    driver.link(link, () => {});
    this.#sessions.set(id, driver);
    return driver;
  }
}

/** An agent that was started, with what surrounds it. */
export interface Bench {
  readonly agent: Agent;
  readonly relay: FakeRelay;
  readonly clock: VirtualClock;
  readonly events: AgentEvent[];
  readonly streams: Stream[];
  /** Resolves with the next event that `fits`, also one of the past that was not asked for yet. */
  event(fits: Partial<AgentEvent>): Promise<AgentEvent>;
}

/** What the backoff always says. */
export const delayMs = 100;

/** Lets the time run so slowly that links, drivers and promises keep up with it. */
export async function passes(clock: VirtualClock, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 100) {
    clock.advance(Math.min(left, 100));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

export function setUp(more: Partial<AgentSettings> = {}): Bench {
  const clock = new VirtualClock();
  const relay = new FakeRelay(clock);
  const events: AgentEvent[] = [];
  const streams: Stream[] = [];
  let asked = 0;
  let look = (): void => {};
  const agent = new Agent({
    kind: "http",
    relays: [new URL("http://relay.localhost")],
    insecure: false,
    door: () => relay,
    clock,
    origin: {
      open(stream) {
        streams.push(stream);
        return silent;
      },
    },
    token: async () => "token",
    join: false,
    links: 1,
    reconnect: true,
    backoff: () => ({ next: () => delayMs, succeeded() {} }),
    instance: "i".repeat(32),
    version: "0.0.0",
    onEvent(event) {
      events.push(event);
      look();
    },
    ...more,
  });
  const event = (fits: Partial<AgentEvent>): Promise<AgentEvent> =>
    new Promise((resolve) => {
      look = () => {
        while (asked < events.length) {
          const candidate = events[asked++];
          if (candidate === undefined || !Bun.deepMatch(fits, candidate)) continue;
          look = () => {};
          resolve(candidate);
          return;
        }
      };
      look();
    });
  agent.start();
  return { agent, relay, clock, events, streams, event };
}
