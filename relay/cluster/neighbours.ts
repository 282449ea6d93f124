import type { Clock } from "../../shared/clock.ts";
import { Backoff } from "../../shared/dial/backoff.ts";
import type { GiveUp, LinkPlace } from "../../shared/dial/place.ts";
import { Slot, type SlotOwner } from "../../shared/dial/slot.ts";
import { type Code, UnderpassError } from "../../shared/errors.ts";
import type { Link } from "../../shared/link.ts";
import { limits } from "../../shared/mux/limits.ts";
import type { Memory } from "../../shared/mux/memory.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import type { NodeFacts } from "./board.ts";
import { HopShares } from "./hop-shares.ts";

/** Opens a link to a neighbour. One call of `done`, never from inside; returns what gives up. */
export type DialNeighbour = (
  node: NodeFacts,
  place: LinkPlace,
  token: string,
  done: (result: Link | UnderpassError) => void,
) => GiveUp;

export interface NeighboursDeps {
  readonly clock: Clock;
  readonly memory: Memory;
  /** This process. */
  readonly id: string;
  readonly version: string;
  readonly random: () => number;
  readonly dial: DialNeighbour;
  /** A token of the cluster's key. */
  readonly token: () => Promise<string>;
  /** What a node tells of itself now; undefined: it is gone. */
  readonly facts: (id: string) => NodeFacts | undefined;
  /** Nobody is at its address: it may have died. */
  readonly missed: (id: string) => void;
  /** One takes streams again. */
  readonly ready: () => void;
}

/** What is open at a relay that has taken its leave gets so long. */
const leaveMs = 30_000;
/** A neighbour that is away is tried so often at least: visitors may wait for it. */
const maxRedialMs = 2_000;

/** The sessions that this relay has with its neighbours, one each: for streams that it opens there. */
export class Neighbours {
  readonly #deps: NeighboursDeps;
  readonly #slots = new Map<string, Slot>();
  readonly #shares = new HopShares();

  constructor(deps: NeighboursDeps) {
    this.#deps = deps;
  }

  /** Dials it, and holds on to it until `leave`. Idempotent. */
  meet({ id }: NodeFacts): void {
    if (this.#slots.has(id)) return;
    const slot = this.#slot(id);
    this.#slots.set(id, slot);
    slot.start();
  }

  /** It is gone: what is open there ends, unless it has taken its leave and there is a link to finish on. */
  leave(id: string): void {
    const slot = this.#slots.get(id);
    this.#slots.delete(id);
    if (slot?.hasGoodLink === false) slot.abandon();
    void slot?.stop(leaveMs);
  }

  /** This relay ends: what is open ends now. */
  close(): void {
    for (const slot of this.#slots.values()) {
      slot.abandon();
      void slot.stop(0);
    }
    this.#slots.clear();
  }

  /** There is a link that nothing is wrong with, though it may have taken its leave on it. */
  isLinked(id: string): boolean {
    return this.#slots.get(id)?.hasGoodLink === true;
  }

  /** It takes streams. */
  isUp(id: string): boolean {
    return this.#slots.get(id)?.session?.driver.isUp === true;
  }

  /** Over what it is reached now; undefined: it is not. */
  linkTo(id: string): { readonly transport: string; readonly tripMs: number } | undefined {
    const session = this.#slots.get(id)?.session;
    if (session?.driver.hasLink !== true) return undefined;
    return { transport: session.transport ?? "bus", tripMs: session.driver.session.tripMs };
  }

  get links(): number {
    let up = 0;
    for (const id of this.#slots.keys()) if (this.isUp(id)) up++;
    return up;
  }

  /** undefined: it takes none now. */
  open(id: string, kind: number, fields: Uint8Array, handler: StreamHandler): Stream | undefined {
    const slot = this.#slots.get(id);
    const held = slot?.session;
    if (slot === undefined || held?.driver.isUp !== true) return undefined;
    const { session } = held.driver;
    const stream = session.open(kind, fields, handler);
    // Its ids are used up, which some thousand streams a second do in days: another has its place.
    if (session.leaving) slot.goaway(held, "bye", "going-away", limits.usedUpGraceMs);
    return stream;
  }

  /** As `open`, for a visitor of the tunnel. undefined also where it has as many there as it may. */
  hop(
    id: string,
    tunnel: string,
    kind: number,
    fields: Uint8Array,
    handler: StreamHandler,
  ): Stream | undefined {
    const session = this.#slots.get(id)?.session?.driver.session;
    if (session === undefined) return undefined;
    if (this.#shares.isFull(tunnel, id, session.options.peerStreams - session.openStreams)) return undefined;
    const stream = this.open(id, kind, fields, handler);
    if (stream === undefined) return undefined;
    this.#shares.add(tunnel, id);
    stream.whenClosed = () => this.#shares.remove(tunnel, id);
    return stream;
  }

  /** How many streams visitors of the tunnel have at neighbours. */
  hopsOf(tunnel: string): number {
    return this.#shares.of(tunnel);
  }

  #slot(id: string): Slot {
    const { clock, memory, version, random, ready } = this.#deps;
    const owner: SlotOwner = {
      opened(stream) {
        // Who wants the other direction dials himself.
        stream.reset("kind-unknown");
        return stream.handler;
      },
      up: () => ready(),
      suspect() {},
      down() {},
    };
    return new Slot(
      {
        ...{ clock, memory, version, index: 0, kind: "relay", features: [], join: false },
        instance: instanceOf(this.#deps.id),
        // One that was taken for dead may have an earlier session of ours yet, whose attempts were fewer than milliseconds.
        attemptsBefore: Math.floor(clock.now()),
        backoff: new Backoff({ maxDelayMs: maxRedialMs, random }),
        openLink: (session, done) => this.#dial(id, session, done),
        doubted: () => this.#slots.get(id)?.session?.doubt(),
        isFinal: () => false,
      },
      owner,
    );
  }

  #dial(id: string, session: string | undefined, done: (result: Link | UnderpassError) => void): GiveUp {
    const { dial, token, facts, missed } = this.#deps;
    let cancelled = false;
    let giveUp: GiveUp = () => {};
    const run = async (): Promise<void> => {
      const credential = await token();
      if (cancelled) return;
      const node = facts(id);
      if (node === undefined) done(new UnderpassError("relay-unreachable"));
      else
        giveUp = dial(node, { name: id, kind: "relay", session }, credential, (result) => {
          if (result instanceof UnderpassError && isMissing.has(result.code)) missed(id);
          done(result);
        });
    };
    run().catch((error: unknown) => {
      if (!cancelled) done(new UnderpassError("internal-error", String(error)));
    });
    return (why) => {
      cancelled = true;
      giveUp(why);
    };
  }
}

/** Nobody is where it was, or somebody else. */
const isMissing: ReadonlySet<Code> = new Set<Code>(["relay-unreachable", "session-elsewhere"]);

/** HELLO's instance of a relay: 16 characters or more. */
function instanceOf(id: string): string {
  return `relay-process-${id}`;
}
