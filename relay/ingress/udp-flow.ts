import type { Code } from "../../shared/errors.ts";
import { KeptDatagrams } from "../../shared/kept-datagrams.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import { silentHandler } from "../../shared/mux/stream-handler.ts";

/** A session that lost its link resumes within this, or its agent may be gone, and another be here. */
export const moveAfterMs = 2_000;

/** What a flow needs of its port. */
export interface UdpFlowHost {
  /** A datagram went, either way. */
  alive(flow: UdpFlow): void;
  /** A datagram for the visitor. */
  answer(flow: UdpFlow, payload: Uint8Array): void;
  /** Over; with a code: not in order. Exactly once. */
  over(flow: UdpFlow, code: Code | undefined): void;
}

/** What comes from one visitor's address and port, and the answers: one stream, once an agent takes it. */
export class UdpFlow implements StreamHandler {
  bytesIn = 0;
  bytesOut = 0;
  readonly #host: UdpFlowHost;
  readonly #kept = new KeptDatagrams();
  #stream: Stream | undefined;
  /** Since when its session has no link. */
  #stuckMs: number | undefined;
  #over = false;

  constructor(
    host: UdpFlowHost,
    readonly visitor: string,
    readonly startedMs: number,
  ) {
    this.#host = host;
  }

  /** An agent has taken it. */
  get isOpen(): boolean {
    return this.#stream !== undefined;
  }
  /** What waits for an agent weighs. */
  get keptBytes(): number {
    return this.#kept.bytes;
  }

  /** Keeps a datagram until there is an agent; of many the latest. */
  keep(payload: Uint8Array): void {
    this.#kept.push(payload);
  }

  /** An agent takes it on `stream`, with what waited. What had it before may be no more. */
  start(stream: Stream, nowMs: number): void {
    this.#leave();
    this.#stream?.end();
    this.#stream = stream;
    this.#stuckMs = undefined;
    this.#kept.drain((payload) => this.pass(payload, nowMs));
  }

  /** On to the agent. false: that has had no link for so long that another had better take the flow. */
  pass(payload: Uint8Array, nowMs: number): boolean {
    if (this.#stream?.datagram(payload) === true) {
      this.bytesIn += payload.length;
      this.#stuckMs = undefined;
      return true;
    }
    this.#stuckMs ??= nowMs;
    return nowMs - this.#stuckMs < moveAfterMs;
  }

  /** Ends it from this side. In order: RESETs of so many as come and go would count as the agent's fault. */
  end(code?: Code): void {
    this.#stream?.end();
    this.#finish(code);
  }

  // StreamHandler: what comes from the agent.

  /** The origin's socket is open, which says nothing of the origin. */
  head(): void {}

  datagram(payload: Uint8Array): void {
    this.bytesOut += payload.length;
    this.#host.alive(this);
    this.#host.answer(this, payload);
  }

  data(): void {
    this.#stream?.reset("stream-state");
    this.#finish("stream-state");
  }

  left(): void {}
  writable(): void {}

  reset(code: Code): void {
    this.#finish(code);
  }

  #finish(code: Code | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#leave();
    this.#host.over(this, code);
  }

  #leave(): void {
    if (this.#stream !== undefined) this.#stream.handler = silentHandler;
  }
}
