import type { Clock } from "../../shared/clock.ts";
import type { OpenDatagrams } from "../../shared/datagrams.ts";
import type { Code } from "../../shared/errors.ts";
import { decodeHead, type HeadFields } from "../../shared/head.ts";
import { IdleWatch } from "../../shared/idle-watch.ts";
import { streamKinds } from "../../shared/kind.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import type { DialTarget } from "../../shared/socket.ts";
import type { Origin } from "../agent.ts";
import type { StreamEvent } from "../screen/events.ts";
import { OriginFlow } from "./origin-flow.ts";

export const udpOriginLimits = {
  /** PROTOCOL.md section 7; the relay does the same for its visitors. */
  idleMs: 60_000,
  /** When the agent leaves: an answer that is under way comes by then. A flow itself never says that it is complete. */
  partingMs: 1_000,
} as const;

export interface UdpOriginOptions {
  readonly openDatagrams: OpenDatagrams;
  /** Without host: the port on 127.0.0.1. Who is asked by UDP need not answer, so a second address can't be tried. */
  readonly target: DialTarget;
  readonly clock: Clock;
  readonly onStream: (event: StreamEvent) => void;
}

/** A service behind the agent that is spoken to in datagrams: each flow has a socket of its own, as its visitor has. */
export class UdpOrigin implements Origin {
  readonly #options: UdpOriginOptions;
  readonly #idle: IdleWatch<OriginFlow>;

  constructor(options: UdpOriginOptions) {
    this.#options = options;
    this.#idle = new IdleWatch({
      clock: options.clock,
      idleMs: udpOriginLimits.idleMs,
      expire: (flow) => flow.end(),
    });
  }

  /** Flows that are open, or are being opened. */
  get flows(): number {
    return this.#idle.size;
  }

  open(stream: Stream, fields: Uint8Array): StreamHandler {
    const refusal = refusalOf(stream, decodeHead(fields));
    if (refusal !== undefined) {
      stream.reset(refusal);
      return stream.handler;
    }
    const { openDatagrams, target, onStream } = this.#options;
    const flow = new OriginFlow(stream, {
      alive: (one) => this.#idle.touch(one),
      over: (one, code) => {
        this.#idle.drop(one);
        onStream({
          ...{ event: "stream", kind: "udp", bytesIn: one.bytesIn, bytesOut: one.bytesOut },
          ...(code === undefined ? { end: "closed" } : { end: "reset", code }),
        });
      },
    });
    this.#idle.touch(flow);
    const { host = "127.0.0.1", port = 0 } = target;
    flow.start(openDatagrams({ remote: { host, port } }, flow.ear));
    return flow;
  }

  /** The agent is leaving: flows end as soon as nothing goes on in them. */
  leave(): void {
    this.#idle.shorten(udpOriginLimits.partingMs);
  }

  /** Ends all flows. */
  close(): void {
    for (const flow of this.#idle) flow.end();
  }
}

/** A target is for agents that offer egress, which this origin is not asked for. */
function refusalOf({ kind }: Stream, head: HeadFields | undefined): Code | undefined {
  if (kind !== streamKinds.udp) return "kind-unknown";
  if (head === undefined) return "head-invalid";
  return head.target === undefined ? undefined : "egress-denied";
}
