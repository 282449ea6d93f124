import type { Clock } from "../../shared/clock.ts";
import type { DatagramSocket, OpenDatagrams } from "../../shared/datagrams.ts";
import type { Code } from "../../shared/errors.ts";
import { encodeHead } from "../../shared/head.ts";
import { IdleWatch } from "../../shared/idle-watch.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import { UdpFlow, type UdpFlowHost } from "./udp-flow.ts";

export const udpLimits = {
  /** PROTOCOL.md section 7. Longer than resolvers and games are silent, shorter than most routers remember a flow. */
  idleMs: 60_000,
  /** Visitors of one port at once: a datagram may name any sender, so this is what a forger can take. */
  maxFlows: 1_024,
  /** While no agent takes a stream: as long as other visitors wait. */
  keepMs: 10_000,
  /** Of all visitors of a port together. */
  maxKeptBytes: 1_048_576,
} as const;

/** How a visitor's flow ended. */
export interface UdpFlowEnd {
  readonly visitor: string;
  /** Bytes of datagrams from the visitor that were passed on, and those for him. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly ms: number;
  /** Why, where it did not end in order. */
  readonly code?: Code;
}

export interface UdpIngressOptions {
  readonly clock: Clock;
  readonly openDatagrams: OpenDatagrams;
  /** The public port. */
  readonly address: { readonly host: string; readonly port: number; readonly reusePort?: boolean };
  /** Opens a stream of kind udp to an agent of the tunnel. undefined: none takes one now. */
  readonly open: (fields: Uint8Array, handler: StreamHandler) => Stream | undefined;
  /** Not told of visitors who got no stream because others came. */
  readonly onFlow: (end: UdpFlowEnd) => void;
}

/** The public port of one udp tunnel: each visitor's address and port is a flow, and each flow a stream. */
export class UdpIngress {
  readonly #options: UdpIngressOptions;
  readonly #flows = new Map<string, UdpFlow>();
  readonly #idle: IdleWatch<UdpFlow>;
  /** Those that no agent has taken yet. */
  readonly #waiting: IdleWatch<UdpFlow>;
  #keptBytes = 0;
  #socket: DatagramSocket | undefined;

  /** Opens the port. Rejects with `port-in-use`. */
  static async open(options: UdpIngressOptions): Promise<UdpIngress> {
    const ingress = new UdpIngress(options);
    const message = (bytes: Uint8Array, visitor: string) => ingress.#message(bytes, visitor);
    ingress.#socket = await options.openDatagrams(options.address, { message });
    return ingress;
  }

  private constructor(options: UdpIngressOptions) {
    this.#options = options;
    const { clock } = options;
    this.#idle = new IdleWatch({ clock, idleMs: udpLimits.idleMs, expire: (flow) => flow.end() });
    this.#waiting = new IdleWatch({
      clock,
      idleMs: udpLimits.keepMs,
      expire: (flow) => flow.end("agent-offline"),
    });
  }

  /** Visitors who are here. */
  get flows(): number {
    return this.#flows.size;
  }
  /** The port that was really taken. */
  get port(): number {
    return this.#socket?.port ?? 0;
  }

  /** An agent may be there: what waited for one goes on, in the order in which it came. */
  tryAgain(): void {
    for (const flow of this.#waiting) if (!this.#start(flow)) return;
  }

  /** Closes the port and ends all flows. Idempotent. */
  close(): void {
    this.#socket?.close();
    this.#socket = undefined;
    for (const flow of this.#flows.values()) flow.end();
    this.#idle.close();
    this.#waiting.close();
  }

  #message(bytes: Uint8Array, visitor: string): void {
    if (this.#socket === undefined) return;
    const flow = this.#flows.get(visitor) ?? this.#enter(visitor);
    this.#idle.touch(flow);
    if (flow.isOpen) {
      const { clock } = this.#options;
      if (!flow.pass(bytes, clock.now()) && this.#start(flow)) flow.pass(bytes, clock.now());
      return;
    }
    this.#keep(flow, bytes);
    this.tryAgain();
  }

  #enter(visitor: string): UdpFlow {
    if (this.#flows.size >= udpLimits.maxFlows) this.#idle.longest?.end();
    const flow = new UdpFlow(this.#host, visitor, this.#options.clock.now());
    this.#flows.set(visitor, flow);
    this.#waiting.touch(flow);
    return flow;
  }

  #keep(flow: UdpFlow, bytes: Uint8Array): void {
    const before = flow.keptBytes;
    flow.keep(bytes);
    this.#keptBytes += flow.keptBytes - before;
    for (const longest of this.#waiting) {
      if (this.#keptBytes <= udpLimits.maxKeptBytes) break;
      longest.end();
    }
  }

  /** false: no agent takes it now. */
  #start(flow: UdpFlow): boolean {
    const { visitor, keptBytes } = flow;
    const { host = "", port } = this.#socket ?? {};
    const local = `${host.includes(":") ? `[${host}]` : host}:${port}`;
    const stream = this.#options.open(encodeHead({ visitor, local }), flow);
    if (stream === undefined) return false;
    this.#waiting.drop(flow);
    this.#keptBytes -= keptBytes;
    flow.start(stream, this.#options.clock.now());
    return true;
  }

  readonly #host: UdpFlowHost = {
    alive: (flow) => this.#idle.touch(flow),
    answer: (flow, payload) => this.#socket?.send(payload, flow.visitor),
    over: (flow, code) => {
      const { visitor, bytesIn, bytesOut, startedMs, isOpen } = flow;
      this.#flows.delete(visitor);
      this.#idle.drop(flow);
      this.#waiting.drop(flow);
      this.#keptBytes -= flow.keptBytes;
      if (!isOpen && code === undefined) return;
      const ms = this.#options.clock.now() - startedMs;
      this.#options.onFlow({ visitor, bytesIn, bytesOut, ms, ...(code !== undefined && { code }) });
    },
  };
}
