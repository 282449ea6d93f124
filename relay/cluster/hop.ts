import type { Code } from "../../shared/errors.ts";
import { type Kind, kinds, streamKinds } from "../../shared/kind.ts";
import type { Memory } from "../../shared/mux/memory.ts";
import { lastingBytes, ownBytes } from "../../shared/mux/own-bytes.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import { isName } from "../../shared/name.ts";
import { Passage, type PassageDeps, type Way } from "../../shared/passage.ts";
import { TunnelWay, type WayDeps } from "../tunnel-way.ts";
import type { Service } from "../tunnels.ts";
import { HopFlow, type HopFlowDeps } from "./hop-flow.ts";
import { hopTags, putFirst, type TakenField, takeFirst } from "./hop-head.ts";

/** Which tunnel a stream between relays is for. */
export interface HopTarget {
  readonly service: Service;
  readonly name: string;
  /** Whoever sends it has no other relay to ask: it may wait here for the agent. */
  readonly waits: boolean;
}

/** The head of a visitor's stream as the neighbour gets it (PROTOCOL.md section 9). */
export function hopHead({ service, name, waits }: HopTarget, fields: Uint8Array): Uint8Array {
  return putFirst(hopTags.tunnel, encoder.encode(`${service} ${name}${waits ? " waits" : ""}`), fields);
}

/** undefined: it is none. */
export function readHopHead({ tag, value }: TakenField): HopTarget | undefined {
  const [service = "", name = "", waits, ...more] = decoder.decode(value).split(" ");
  if (tag !== hopTags.tunnel || !isService(service) || !isName(name) || more.length > 0) return undefined;
  if (waits !== undefined && waits !== "waits") return undefined;
  return { service, name, waits: waits !== undefined };
}

export interface HopCounts {
  hopsIn: number;
  hopBytesIn: number;
  hopBytesOut: number;
}

export interface HopsDeps extends PassageDeps {
  /** Of this relay alone: a stream makes one hop at most. */
  readonly tunnels: WayDeps["tunnels"];
  readonly names: WayDeps["names"];
  /** The others that have agents of the name, as far as is known now. */
  readonly relaysOf: (name: string) => readonly string[];
  readonly metrics: PassageDeps["metrics"] & HopCounts;
  readonly memory: Pick<Memory, "isHog">;
}

/** Visitors' streams that come from neighbours, for agents that are here. */
export class Hops {
  readonly #deps: HopsDeps;
  #open = 0;
  /** The same by tunnel. */
  readonly #openOf = new Map<string, number>();
  readonly #flowDeps: HopFlowDeps;
  #emptied: (() => void) | undefined;

  constructor(deps: HopsDeps) {
    this.#deps = deps;
    const { clock, hold, relaysOf } = deps;
    this.#flowDeps = { clock, hold, relaysOf, kept: { bytes: 0 } };
  }

  /** How many are open. */
  get open(): number {
    return this.#open;
  }

  /** A stream that a neighbour opened. */
  take(stream: Stream, fields: Uint8Array): StreamHandler {
    const first = takeFirst(fields);
    const target = first && readHopHead(first);
    if (first === undefined || target === undefined) {
      stream.reset("head-invalid");
      return stream.handler;
    }
    const deps = this.#deps;
    deps.metrics.hopsIn++;
    const { service, name, waits } = target;
    const tunnel = new TunnelWay(deps, name, service, stream.kind);
    const isUdp = stream.kind === streamKinds.udp;
    // No agent that calls waits with datagrams.
    const mayWait = waits && !(isUdp && service === "egress");
    const way = mayWait ? new WaitingWay(tunnel, () => deps.relaysOf(name)) : new HastyWay(tunnel);
    if (isUdp) return new HopFlow(this.#flowDeps, stream, { tunnel: name, way, fields: first.rest }).near;
    const openOf = this.#openOf.get(name) ?? 0;
    // Each takes two windows here, and no tunnel is to have all that there are.
    if (deps.memory.isHog(2 * openOf)) {
      stream.reset("too-many-streams");
      return stream.handler;
    }
    this.#open++;
    this.#openOf.set(name, openOf + 1);
    return new Hop(deps, stream, way, first.rest, () => this.#ended(name));
  }

  #ended(name: string): void {
    const openOf = (this.#openOf.get(name) ?? 1) - 1;
    if (openOf > 0) this.#openOf.set(name, openOf);
    else this.#openOf.delete(name);
    this.#open--;
    if (this.#open === 0) this.#emptied?.();
  }

  /** Resolves when none is open, or with `graceMs`. */
  async drain(graceMs: number): Promise<void> {
    if (this.#open === 0) return;
    const { clock } = this.#deps;
    await new Promise<void>((resolve) => {
      const cancel = clock.at(clock.now() + graceMs, resolve);
      this.#emptied = () => {
        cancel();
        resolve();
      };
    });
  }
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

function isService(text: string): text is Service {
  return text === "egress" || (kinds as readonly string[]).includes(text as Kind);
}

/** For somebody who has another relay to ask: he is not to wait here. */
class HastyWay implements Way {
  constructor(private readonly way: Way) {}

  get name(): string {
    return this.way.name;
  }
  open(...[fields, handler]: Parameters<Way["open"]>): ReturnType<Way["open"]> {
    return this.way.open(fields, handler);
  }
  readonly reachable = false;
  readonly expected = false;
  readonly isPatient = false;
  readonly refusal = "agent-elsewhere";
}

/** For somebody who had no other relay to ask: he waits here until an agent comes to one that has none yet. */
class WaitingWay implements Way {
  readonly #before: readonly string[];

  constructor(
    private readonly way: Way,
    private readonly relays: () => readonly string[],
  ) {
    this.#before = relays();
  }

  get name(): string {
    return this.way.name;
  }
  open(...[fields, handler]: Parameters<Way["open"]>): ReturnType<Way["open"]> {
    return this.way.open(fields, handler);
  }
  get reachable(): boolean {
    return this.way.reachable;
  }
  get expected(): boolean {
    return this.way.expected && this.relays().every((relay) => this.#before.includes(relay));
  }
  get isPatient(): boolean {
    return this.way.isPatient;
  }
  get refusal(): Code {
    return this.way.refusal;
  }
}

/** A neighbour's stream and one to an agent: all frames pass as they are. */
class Hop implements StreamHandler {
  readonly #near: Stream;
  readonly #far: Passage;
  readonly #way: Way;
  readonly #metrics: HopsDeps["metrics"];
  readonly #done: () => void;
  #nearEnded = false;
  #farEnded = false;
  #over = false;

  constructor(deps: HopsDeps, near: Stream, way: Way, fields: Uint8Array, done: () => void) {
    this.#near = near;
    this.#way = way;
    this.#metrics = deps.metrics;
    this.#done = done;
    near.handler = this;
    this.#far = new Passage(deps, way, this.#ear());
    const refusal = this.#far.start(ownBytes(fields));
    // Whoever believed that there is an agent here is to look again.
    if (refusal !== undefined) this.#refuse(refusal === "too-many-streams" ? refusal : "agent-elsewhere");
  }

  // What comes from the visitor.

  head(fields: Uint8Array): void {
    this.#far.sendTrailers(ownBytes(fields));
  }
  data(bytes: Uint8Array): void {
    this.#metrics.hopBytesIn += bytes.length;
    const more = this.#far.write(lastingBytes(bytes));
    this.#near.held(more ? 0 : this.#far.queued);
  }
  end(): void {
    this.#nearEnded = true;
    this.#far.sendEnd();
    this.#look();
  }
  left(): void {
    this.#far.sendLeft();
  }
  reset(code: Code): void {
    this.#far.cancel(code);
    this.#finish();
  }
  writable(): void {
    this.#far.held(0);
  }

  // What comes from the agent.

  #ear(): StreamHandler {
    return {
      head: (fields) => this.#near.head(ownBytes(fields)),
      data: (bytes) => {
        this.#metrics.hopBytesOut += bytes.length;
        const more = this.#near.write(lastingBytes(bytes));
        this.#far.held(more ? 0 : this.#near.queued);
      },
      end: () => {
        this.#farEnded = true;
        this.#near.end();
        this.#look();
      },
      left() {},
      // Whoever waited is told when there is no more use in it.
      reset: (code) => this.#refuse(this.#codeFor(code)),
      writable: () => this.#near.held(0),
    };
  }

  #codeFor(code: Code): Code {
    // An agent has looked at it: that word, by which it would be sent again, is the relay's alone.
    if (this.#far.opened) return code === "agent-elsewhere" ? "stream-failed" : code;
    return this.#way.expected ? code : "agent-elsewhere";
  }

  #refuse(code: Code): void {
    this.#near.reset(code);
    this.#finish();
  }

  #look(): void {
    if (this.#nearEnded && this.#farEnded) this.#finish();
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    if (this.#far.opened) this.#metrics.streamsOpen--;
    this.#done();
  }
}
