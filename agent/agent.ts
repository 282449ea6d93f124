import type { Clock } from "../shared/clock.ts";
import { codes, type UnderpassError } from "../shared/errors.ts";
import type { Welcome } from "../shared/handshake.ts";
import type { Link } from "../shared/link.ts";
import { Memory } from "../shared/mux/memory.ts";
import type { Stream, StreamHandler } from "../shared/mux/stream.ts";
import { watchSleep } from "../shared/sleep.ts";
import { Credential } from "./credential.ts";
import type { AgentEvent } from "./events.ts";
import { RelayRefusal } from "./relay-refusal.ts";
import { renewWorst } from "./renewal.ts";
import { Slot, type SlotOptions, type SlotOwner } from "./slot.ts";

/** Whoever serves the streams: an origin on the network, or a function in this process. */
export interface Origin {
  open(stream: Stream, fields: Uint8Array): StreamHandler;
  /** Closes what it keeps open between exchanges. */
  close?(): void;
}

/** The relay as an agent reaches it. Each calls `done` exactly once, never from inside, and returns what gives up. */
export interface RelayDoor {
  openLink(
    name: string,
    session: string | undefined,
    token: string | undefined,
    done: (result: Link | UnderpassError) => void,
  ): () => void;
  requestName(token: string | undefined, done: (result: string | UnderpassError) => void): () => void;
}

export interface AgentSettings {
  readonly door: RelayDoor;
  readonly origin: Origin;
  readonly clock: Clock;
  /** Absent: the relay gives a random one, which is kept as long as the agent lives. */
  readonly name?: string;
  /** Read before each dial, so that a renewed file counts. Rejects with UnderpassError when it can't be read. */
  readonly token: () => Promise<string | undefined>;
  /** Links at once, each with a session of its own. */
  readonly links: number;
  readonly join: boolean;
  readonly reconnect: boolean;
  readonly backoff: () => SlotOptions["backoff"];
  /** 16 to 64 of `[A-Za-z0-9_-]`, random. */
  readonly instance: string;
  readonly version: string;
  readonly onEvent: (event: AgentEvent) => void;
}

/** What all sessions together may hold; half of it is first windows: 2,048 streams. */
const memoryBytes = 512 * 2 ** 20;

/** What streams that are open get when the agent is refused or replaced. */
const fatalGraceMs = 30_000;

/** The agent as one object: a name, a pool of slots, and what happens to them. */
export class Agent implements SlotOwner {
  /** Resolves when the agent has ended: with what ended it, or with undefined after `stop`. Never rejects. */
  readonly ended: Promise<UnderpassError | undefined>;
  readonly #settings: AgentSettings;
  readonly #end: (reason: UnderpassError | undefined) => void;
  readonly #memory = new Memory(memoryBytes);
  /** For asking for a name. */
  readonly #credential: Credential;
  readonly #backoff: SlotOptions["backoff"];
  #slots: Slot[] = [];
  #cancel: () => void = () => {};
  #name: string | undefined;
  #ready = false;
  #finished = false;

  constructor(settings: AgentSettings) {
    this.#settings = settings;
    this.#name = settings.name;
    this.#credential = new Credential(settings.token);
    this.#backoff = settings.backoff();
    const { promise, resolve } = Promise.withResolvers<UnderpassError | undefined>();
    this.ended = promise;
    this.#end = resolve;
  }

  /** The tunnel's name, once it is known. */
  get name(): string | undefined {
    return this.#name;
  }

  /** Exchanges that are open now. */
  get openStreams(): number {
    return this.#slots.reduce((sum, slot) => sum + slot.openStreams, 0);
  }

  /** Begins. Call once. */
  start(): void {
    if (this.#name === undefined) this.#askName(1);
    else this.#startSlots(this.#name);
  }

  /** Says goodbye, lets open exchanges finish for `graceMs`, closes all links. Idempotent; resolves when it is done. */
  async stop(graceMs: number): Promise<void> {
    await this.#finish(undefined, graceMs);
  }

  /** Ends all streams now, and says so to the relay. */
  abandon(): void {
    for (const slot of this.#slots) slot.abandon();
  }

  // SlotOwner

  opened(stream: Stream, fields: Uint8Array): StreamHandler {
    return this.#settings.origin.open(stream, fields);
  }

  up(slot: Slot, welcome: Welcome, { resumed }: { readonly resumed: boolean }): void {
    const { onEvent } = this.#settings;
    onEvent({ event: "link", link: slot.index, state: "up", attempt: 0, delayMs: 0 });
    if (this.#ready) return;
    this.#ready = true;
    const name = this.#name ?? "";
    const url = welcome.urls[0] ?? "";
    onEvent({ event: "ready", name, kind: "http", url, resumed, urls: welcome.urls });
  }

  suspect(slot: Slot): void {
    const { onEvent } = this.#settings;
    if (this.#finished) return;
    onEvent({ event: "link", link: slot.index, state: "suspect", attempt: 0, delayMs: 0 });
    this.#doubtOthers(slot);
  }

  down(slot: Slot, error: UnderpassError, attempt: number, delayMs: number | undefined): void {
    if (this.#finished) return;
    this.#doubtOthers(slot);
    const { onEvent } = this.#settings;
    onEvent({ event: "link", link: slot.index, state: "lost", attempt, delayMs: Math.ceil(delayMs ?? 0) });
    if (this.#slots.some((other) => other.isUp)) {
      // Under --no-reconnect the agent lives as long as one of its links.
      if (delayMs === undefined && error.fatal) this.#fail(error);
      return;
    }
    this.#ready = false;
    if (delayMs === undefined) this.#fail(error);
    else if (attempt === 1) this.#tell(error, false);
  }

  /** Links of one agent often share their fate. */
  #doubtOthers(slot: Slot): void {
    for (const other of this.#slots) if (other !== slot) other.session?.doubt();
  }

  #askName(attempt: number): void {
    const { door, clock, onEvent } = this.#settings;
    this.#cancel = this.#credential.dial<string>(
      (token, done) => door.requestName(token, done),
      (result) => {
        if (typeof result === "string") {
          this.#name = result;
          this.#startSlots(result);
          return;
        }
        if (this.#isFinal(result, this.#credential)) {
          this.#fail(result);
          return;
        }
        const delayMs = this.#backoff.next(result instanceof RelayRefusal ? result.retryAfterMs : 0);
        this.#cancel = clock.at(clock.now() + delayMs, () => this.#askName(attempt + 1));
        onEvent({ event: "link", link: 0, state: "lost", attempt, delayMs: Math.ceil(delayMs) });
        if (attempt === 1) this.#tell(result, false);
      },
    );
  }

  #startSlots(name: string): void {
    const { door, clock, links, backoff, instance, version, join } = this.#settings;
    this.#slots = Array.from({ length: links }, (_, index) => {
      const credential = new Credential(this.#settings.token);
      const options: SlotOptions = {
        index,
        instance,
        join,
        version,
        clock,
        memory: this.#memory,
        backoff: backoff(),
        openLink: (session, done) =>
          credential.dial<Link>((token, inner) => door.openLink(name, session, token, inner), done),
        doubted: (doubted) => this.#slots[doubted]?.session?.doubt(),
        isFinal: (error) => this.#isFinal(error, credential),
      };
      return new Slot(options, this);
    });
    for (const slot of this.#slots) slot.start();
    const cancelSleep = watchSleep(clock, () => {
      for (const slot of this.#slots) slot.session?.driver.slept();
    });
    const cancelRenewal = renewWorst(this.#slots, clock, Math.random);
    this.#cancel = () => {
      cancelSleep();
      cancelRenewal();
    };
  }

  #isFinal(error: UnderpassError, credential: Credential): boolean {
    if (!error.fatal) return !this.#settings.reconnect;
    return error.code !== "token-expired" || !credential.renewable();
  }

  #fail(error: UnderpassError): void {
    this.#tell(error, true);
    void this.#finish(error, fatalGraceMs);
  }

  #tell({ code, message }: UnderpassError, fatal: boolean): void {
    this.#settings.onEvent({ event: "error", code, message: message || codes[code].meaning, fatal });
  }

  async #finish(reason: UnderpassError | undefined, graceMs: number): Promise<void> {
    if (this.#finished) {
      await this.ended;
      return;
    }
    this.#finished = true;
    this.#cancel();
    await Promise.all(this.#slots.map((slot) => slot.stop(graceMs)));
    this.#end(reason);
  }
}
