import type { Clock } from "../shared/clock.ts";
import { Credential } from "../shared/dial/credential.ts";
import type { LinkLost } from "../shared/dial/greeting.ts";
import type { HeldSession } from "../shared/dial/held-session.ts";
import type { GivenName, GiveUp, LinkPlace, NameWish } from "../shared/dial/place.ts";
import { RelayRefusal } from "../shared/dial/relay-refusal.ts";
import { Slot, type SlotOptions, type SlotOwner } from "../shared/dial/slot.ts";
import { type Code, codes, UnderpassError } from "../shared/errors.ts";
import type { Welcome } from "../shared/handshake.ts";
import { decodeHead } from "../shared/head.ts";
import {
  egressFeature,
  isKind,
  type Kind,
  type SessionKind,
  streamKindOf,
  streamKinds,
} from "../shared/kind.ts";
import type { Link } from "../shared/link.ts";
import { Memory } from "../shared/mux/memory.ts";
import type { Stream, StreamHandler } from "../shared/mux/stream.ts";
import { watchSleep } from "../shared/sleep.ts";
import type { Caller } from "./caller.ts";
import type { MoveLinks } from "./dial/transport.ts";
import { Outgoing } from "./outgoing.ts";
import { type Place, Places } from "./places.ts";
import { renewWorst } from "./renewal.ts";
import type { AgentEvent, LinkEvent } from "./screen/events.ts";
import { SlotRoute } from "./slot-route.ts";

/** Whoever serves the streams: an origin on the network, or a function in this process. */
export interface Origin {
  open(stream: Stream, fields: Uint8Array): StreamHandler;
  /** The agent is leaving: what never ends by itself ends soon. */
  leave?(): void;
  /** Closes what it keeps open between exchanges. */
  close?(): void;
}

/** The relay as an agent reaches it. Each calls `done` exactly once, never from inside, and returns what gives up. */
export interface RelayDoor {
  openLink(
    place: LinkPlace,
    token: string | undefined,
    done: (result: Link | UnderpassError) => void,
  ): GiveUp;
  requestName(
    token: string | undefined,
    wish: NameWish,
    done: (result: GivenName | UnderpassError) => void,
  ): () => void;
  /** A link that it opened did not last. */
  linkLost?: LinkLost;
  /** `move` is called when links had better go another way. Returns what ends that. */
  follow?(move: MoveLinks): () => void;
}

export interface AgentSettings {
  /** The relays that the user named, at least one, the preferred first. */
  readonly relays: readonly URL[];
  /** A way to each, and to those that relays name. */
  readonly door: (relay: URL) => RelayDoor;
  /** The token may go over plain http to other machines. */
  readonly insecure: boolean;
  /** What its sessions are for. */
  readonly kind: SessionKind;
  /** Serves the streams that the relay opens; absent for an agent that only calls. */
  readonly origin?: Origin | undefined;
  /** It serves streams with a target: --allow-egress. */
  readonly offersEgress?: boolean;
  /** The public port that it wants, for tcp and udp. */
  readonly remotePort?: number | undefined;
  readonly clock: Clock;
  /** Absent: the relay gives a random one, which is kept as long as the agent lives. */
  readonly name?: string;
  /** Read before each dial, so that a renewed file counts. Rejects with UnderpassError when it can't be read. */
  readonly token: () => Promise<string | undefined>;
  /** Of all agents of the process; absent: one of its own. */
  readonly memory?: Memory;
  /** Links at once, each with a session of its own. */
  readonly links: number;
  readonly join: boolean;
  readonly reconnect: boolean;
  readonly backoff: () => SlotOptions["backoff"];
  /** 16 to 64 of `[A-Za-z0-9_-]`, random. */
  readonly instance: string;
  readonly version: string;
  readonly onEvent: (event: AgentEvent) => void;
  /** An agent that calls has its first link, or has one again after it had none. It tells no `ready` itself. */
  readonly onReady?: (how: { readonly resumed: boolean }) => void;
}

/** What all sessions together may hold; half of it is first windows: 8,192 streams. */
export const agentMemoryBytes = 2 ** 30;

/** So long the first slot is waited for, whose WELCOME says where the others had better go. */
const aloneMs = 1_000;

/** What streams that are open get when the agent is refused or replaced. */
const fatalGraceMs = 30_000;

/** The agent as one object: a name, a pool of slots, and what happens to them. */
export class Agent implements SlotOwner {
  /** Resolves when the agent has ended: with what ended it, or with undefined after `stop`. Never rejects. */
  readonly ended: Promise<UnderpassError | undefined>;
  readonly #settings: AgentSettings;
  readonly #end: (reason: UnderpassError | undefined) => void;
  readonly #memory: Memory;
  readonly #outgoing: Outgoing;
  /** For asking for a name. */
  readonly #credential: Credential;
  readonly #backoff: SlotOptions["backoff"];
  readonly #places: Places;
  /** Of each slot, where it dials. */
  readonly #routes: SlotRoute[] = [];
  #slots: Slot[] = [];
  /** Slots that dial, or have a session. */
  #started = 0;
  #cancel: () => void = () => {};
  #name: string | undefined;
  #ready = false;
  #finished = false;

  constructor(settings: AgentSettings) {
    this.#settings = settings;
    this.#name = settings.name;
    this.#memory = settings.memory ?? new Memory(agentMemoryBytes);
    this.#credential = new Credential(settings.token);
    this.#backoff = settings.backoff();
    const { relays, insecure, door, clock, links } = settings;
    this.#places = new Places({
      ...{ relays, insecure, door },
      move: (place, how) => this.#moveLinks(place, how),
    });
    for (let slot = 0; slot < links; slot++)
      this.#routes.push(new SlotRoute(this.#places, clock, this.#routes));
    this.#outgoing = new Outgoing({
      clock: settings.clock,
      sessions: () => this.#sessions(),
      isAlive: () => !this.#finished,
    });
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

  /** Opens streams towards the relay: for an agent that calls. */
  get caller(): Caller {
    return this.#outgoing;
  }

  /** Begins. Call once. */
  start(): void {
    const { kind } = this.#settings;
    const [route] = this.#routes;
    // The relay gives public ports away with the name.
    const asks = isKind(kind) && (this.#name === undefined || kind === "tcp" || kind === "udp");
    if (this.#name !== undefined && !asks) this.#makeSlots(this.#name);
    else if (isKind(kind) && route !== undefined) this.#askName(kind, route, 1);
    else this.#fail(new UnderpassError("usage", "It takes a name to call."));
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
    const { origin } = this.#settings;
    const refusal = this.#refusalOf(stream, fields);
    if (origin !== undefined && refusal === undefined) return origin.open(stream, fields);
    stream.reset(refusal ?? "kind-unknown");
    return stream.handler;
  }

  up(slot: Slot, welcome: Welcome, { resumed }: { readonly resumed: boolean }): void {
    const { onEvent, kind, onReady } = this.#settings;
    this.#outgoing.tryAgain();
    this.#routes[slot.index]?.settled();
    this.#startSlots();
    const transport = slot.session?.transport;
    onEvent({
      ...this.#linkEvent(slot.index, "up"),
      ...(transport !== undefined && { transport }),
    });
    if (this.#ready) return;
    this.#ready = true;
    const name = this.#name ?? "";
    const url = welcome.urls[0] ?? "";
    if (isKind(kind)) onEvent({ event: "ready", name, kind, url, resumed, urls: welcome.urls });
    else onReady?.({ resumed });
  }

  suspect(slot: Slot): void {
    const { onEvent } = this.#settings;
    if (this.#finished) return;
    onEvent(this.#linkEvent(slot.index, "suspect"));
    this.#doubtOthers(slot);
  }

  down(slot: Slot, error: UnderpassError, attempt: number, delayMs: number | undefined): void {
    if (this.#finished) return;
    this.#doubtOthers(slot);
    if (error.code === "going-away") this.#routes[slot.index]?.left();
    const { onEvent } = this.#settings;
    onEvent({ ...this.#linkEvent(slot.index, "lost"), attempt, delayMs: Math.ceil(delayMs ?? 0) });
    // Where it goes on dialling, the others may do better.
    if (delayMs !== undefined) this.#startSlots();
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

  /** Links to the same relay go the same road. */
  #roadRate(link: number): number {
    const relay = this.#routes[link]?.at?.relay;
    let best = 0;
    for (const { index, session } of this.#slots)
      if (this.#routes[index]?.at?.relay === relay)
        best = Math.max(best, session?.driver.session.ledger.flight.bestRate ?? 0);
    return best;
  }

  #linkEvent(link: number, state: LinkEvent["state"]): LinkEvent {
    const at = this.#routes[link]?.at;
    const isOneOfSeveral = at !== undefined && this.#places.all.length > 1;
    return {
      ...{ event: "link", link, state, attempt: 0, delayMs: 0 },
      ...(isOneOfSeveral && { relay: at.relay.origin }),
    };
  }

  #askName(kind: Kind, route: SlotRoute, attempt: number): void {
    const { clock, onEvent, remotePort } = this.#settings;
    const wish = { kind, name: this.#name, port: remotePort };
    const { door } = route.next(undefined);
    this.#cancel = this.#credential.dial<GivenName>(
      (token, done) => door.requestName(token, wish, done),
      (told) => {
        if (!(told instanceof UnderpassError)) {
          this.#name = told.name;
          this.#makeSlots(told.name);
          return;
        }
        const result = route.refused(told, undefined, { spare: false });
        if (this.#isFinal(result, this.#credential)) {
          this.#fail(result);
          return;
        }
        const delayMs = this.#backoff.next(result instanceof RelayRefusal ? result.retryAfterMs : 0);
        this.#cancel = clock.at(clock.now() + delayMs, () => this.#askName(kind, route, attempt + 1));
        onEvent({ ...this.#linkEvent(0, "lost"), attempt, delayMs: Math.ceil(delayMs) });
        if (attempt === 1) this.#tell(result, false);
      },
    );
  }

  #makeSlots(name: string): void {
    const { clock, backoff, instance, version, join, kind, offersEgress } = this.#settings;
    const features = offersEgress === true ? [egressFeature] : [];
    this.#slots = this.#routes.map((route, index) => {
      const credential = new Credential(this.#settings.token);
      const options: SlotOptions = {
        ...{ index, kind, features },
        instance,
        join,
        version,
        clock,
        memory: this.#memory,
        backoff: backoff(),
        route,
        openLink: (session, done) => {
          const { door } = route.next(session);
          return credential.dial<Link>(
            (token, inner) => door.openLink({ name, kind, session }, token, inner),
            done,
          );
        },
        // The door that opened it knows it.
        linkLost: (link, how) => {
          for (const { door } of this.#places.all) door.linkLost?.(link, how);
        },
        doubted: (doubted) => this.#slots[doubted]?.session?.doubt(),
        roadRate: () => this.#roadRate(index),
        slowed: (slow) => void this.#slots[slow]?.session?.renew(),
        isFinal: (error) => this.#isFinal(error, credential),
      };
      return new Slot(options, this);
    });
    this.#startSlots(1);
    const cancelSleep = watchSleep(clock, () => {
      for (const slot of this.#slots) slot.session?.driver.slept();
    });
    const cancelRenewal = renewWorst(this.#slots, clock, Math.random);
    const cancelWait = clock.at(clock.now() + aloneMs, () => this.#startSlots());
    this.#cancel = () => {
      cancelSleep();
      cancelRenewal();
      cancelWait();
    };
  }

  /** The first begins alone: its WELCOME says where the others had better go. */
  #startSlots(upTo: number = this.#slots.length): void {
    const waiting = this.#slots.slice(this.#started, upTo);
    this.#started += waiting.length;
    for (const slot of waiting) slot.start();
  }

  /** Those at `place`, to a WebSocket, make-before-break. */
  #moveLinks(place: Place, how: "one" | "all"): { begun: number; left: number } {
    let begun = 0;
    let left = 0;
    for (const { session, index } of this.#slots) {
      if (session?.transport !== "sse" || this.#routes[index]?.at !== place) continue;
      left++;
      if ((how === "all" || begun === 0) && session.renew()) begun++;
    }
    return { begun, left };
  }

  /** Streams of other kinds are no business of an agent's; those with a target are only if it was told so. */
  #refusalOf({ kind }: Stream, fields: Uint8Array): Code | undefined {
    const { kind: served, offersEgress } = this.#settings;
    if (kind !== streamKinds.http && decodeHead(fields)?.target !== undefined)
      return offersEgress === true ? undefined : "egress-denied";
    return isKind(served) && kind === streamKindOf[served] ? undefined : "kind-unknown";
  }

  *#sessions(): Iterable<HeldSession> {
    for (const { session } of this.#slots) if (session !== undefined) yield session;
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
    this.#places.close();
    this.#outgoing.tryAgain();
    await Promise.all(this.#slots.map((slot) => slot.stop(graceMs)));
    this.#end(reason);
  }
}
