import type { Clock } from "../../shared/clock.ts";
import type { Code } from "../../shared/errors.ts";
import type { HeldPlace, HeldRequest, Hold } from "../../shared/hold.ts";
import { KeptDatagrams } from "../../shared/kept-datagrams.ts";
import { limits } from "../../shared/mux/limits.ts";
import { ownBytes } from "../../shared/mux/own-bytes.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import { silentHandler } from "../../shared/mux/stream-handler.ts";
import type { Way } from "../../shared/passage.ts";
import { moveAfterMs } from "../ingress/udp-flow.ts";

const flowLimits = {
  /** Of all flows that wait here: a forger makes as many as he likes, and others are held, too. */
  maxKeptBytes: 4_194_304,
} as const;

export interface HopFlowDeps {
  readonly clock: Clock;
  readonly hold: Hold;
  /** What all flows that wait here keep. */
  readonly kept: { bytes: number };
  /** The others that have agents of the name, as far as is known now. */
  readonly relaysOf: (name: string) => readonly string[];
}

/**
 * A neighbour's stream of datagrams, and one to an agent. As at a public port of this relay they wait for an agent that
 * is expected, and move to another where theirs has had no link for long.
 */
export class HopFlow implements HeldRequest {
  /** Hears the neighbour's stream. */
  readonly near: StreamHandler;
  readonly #deps: HopFlowDeps;
  readonly #near: Stream;
  readonly #tunnel: string;
  readonly #way: Way;
  readonly #fields: Uint8Array;
  readonly #kept = new KeptDatagrams();
  #place: HeldPlace | undefined;
  #far: Stream | undefined;
  /** Since when its session has no link. */
  #stuckMs: number | undefined;
  #isTaken = false;
  #over = false;

  constructor(
    deps: HopFlowDeps,
    near: Stream,
    { tunnel, way, fields }: { readonly tunnel: string; readonly way: Way; readonly fields: Uint8Array },
  ) {
    this.#deps = deps;
    this.#near = near;
    this.#tunnel = tunnel;
    this.#way = way;
    this.#fields = ownBytes(fields);
    this.near = this.#ear((payload) => this.#pass(new Uint8Array(payload)));
    near.handler = this.near;
    if (!this.#open()) this.#wait();
  }

  // HeldRequest

  tryAgain(): boolean {
    if (!this.#open()) {
      if (this.#mayWait) return false;
      this.#finish("agent-elsewhere");
    }
    return true;
  }

  expire(): void {
    this.#finish(this.#mayWait ? "agent-offline" : "agent-elsewhere");
  }

  get #mayWait(): boolean {
    return this.#way.reachable || this.#way.expected;
  }

  #wait(): void {
    if (!this.#mayWait) return this.#finish("agent-elsewhere");
    this.#place = this.#deps.hold.enter(this.#way.name, this, limits.frameCost);
    if (this.#place === undefined) this.#finish("agent-offline");
  }

  /** On to an agent that takes it, with what waited; what had it before may be no more. false: none takes it now. */
  #open(): boolean {
    const far = this.#way.open(this.#fields, {
      ...this.#ear((payload) => void this.#near.datagram(new Uint8Array(payload))),
      head: (fields) => this.#head(fields),
      reset: (code) => this.#failed(code),
    });
    if (far === undefined) return false;
    if (this.#far !== undefined) this.#far.handler = silentHandler;
    this.#far?.end();
    this.#far = far;
    this.#stuckMs = undefined;
    // The hold frees the place itself.
    this.#place = undefined;
    this.#empty((payload) => far.datagram(payload));
    return true;
  }

  /** Of an agent that it moved to, the neighbour has no need to hear. */
  #head(fields: Uint8Array): void {
    if (!this.#isTaken) this.#near.head(ownBytes(fields));
    this.#isTaken = true;
  }

  /** By the agent, or the end of its session. */
  #failed(code: Code): void {
    // It may have been ended, and not been sent yet.
    if (this.#over) return;
    // That word, by which it would be sent again, is the relay's alone.
    if (code !== "unprocessed") return this.#finish(code === "agent-elsewhere" ? "stream-failed" : code);
    this.#far = undefined;
    if (!this.#open()) this.#wait();
  }

  #pass(payload: Uint8Array): void {
    if (this.#over) return;
    if (this.#place !== undefined) return this.#keep(this.#place, payload);
    if (this.#far?.datagram(payload) === true) {
      this.#stuckMs = undefined;
      return;
    }
    const nowMs = this.#deps.clock.now();
    this.#stuckMs ??= nowMs;
    if (nowMs - this.#stuckMs < moveAfterMs) return;
    if (this.#open()) this.#far?.datagram(payload);
    // The neighbour finds the other one by the visitor's next datagram.
    else if (this.#deps.relaysOf(this.#tunnel).length > 0) this.#finish();
  }

  #keep(place: HeldPlace, payload: Uint8Array): void {
    const { kept } = this.#deps;
    const before = this.#kept.bytes;
    this.#kept.push(payload);
    const more = this.#kept.bytes - before;
    kept.bytes += more;
    if (kept.bytes > flowLimits.maxKeptBytes || !place.grow(more)) this.#finish("agent-offline");
  }

  #empty(give: (payload: Uint8Array) => void): void {
    this.#deps.kept.bytes -= this.#kept.bytes;
    this.#kept.drain(give);
  }

  #ear(datagram: (payload: Uint8Array) => void): StreamHandler {
    const broken = () => this.#finish("stream-state");
    return {
      head: broken,
      data: broken,
      end: () => this.#finish(),
      left() {},
      reset: (code) => this.#finish(code),
      writable() {},
      datagram,
    };
  }

  /** Both ways; without a code: in order. */
  #finish(code?: Code): void {
    if (this.#over) return;
    this.#over = true;
    this.#place?.leave();
    this.#empty(() => {});
    for (const stream of [this.#near, this.#far]) {
      if (stream === undefined) continue;
      if (code === undefined) stream.end();
      else stream.reset(code);
    }
  }
}
