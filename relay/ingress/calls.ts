import type { Code } from "../../shared/errors.ts";
import { decodeHead, encodeHead, type HeadFields } from "../../shared/head.ts";
import { streamKinds } from "../../shared/kind.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import type { PassageDeps } from "../../shared/passage.ts";
import { PassageEnd } from "../../shared/passage-end.ts";
import { StreamEnd, splice } from "../../shared/splice.ts";
import type { AgentSession } from "../agent-session.ts";
import type { Claims } from "../auth/claims.ts";
import type { RelayLog } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import { TunnelWay, type WayDeps } from "../tunnel-way.ts";
import { CallFlow } from "./call-flow.ts";

/** What a stream came to, for the log. */
export interface CallEnd {
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly code?: Code;
}

export interface CallsDeps extends PassageDeps, WayDeps {
  readonly metrics: Metrics;
  readonly log: RelayLog;
  /**
   * May these claims reach that target (`host:port`), as far as can be told before its name is resolved? `public`: if
   * it leads to public addresses.
   */
  readonly mayReach: (claims: Claims, target: string) => "no" | "public" | "yes";
  /** Whether this subject has so many streams that the rest is for others. */
  readonly isHog: (owner: string) => boolean;
  /** Reaches a target from this relay; absent: this relay does not. */
  readonly egress?:
    | ((stream: Stream, head: HeadFields, claims: Claims, done: (end: CallEnd) => void) => StreamHandler)
    | undefined;
}

const noHead = encodeHead({});

/**
 * The streams that agents open: to a private tunnel (connect), out of another agent's network (via), or out of the
 * relay's (egress). Each is checked against what the session's latest token allows.
 */
export class Calls {
  readonly #deps: CallsDeps;

  constructor(deps: CallsDeps) {
    this.#deps = deps;
  }

  /** A stream that an agent opened. */
  open(agent: AgentSession, stream: Stream, fields: Uint8Array): StreamHandler {
    const { metrics } = this.#deps;
    const head = decodeHead(fields);
    let code = head === undefined ? "head-invalid" : this.#refusal(agent, stream, head);
    if (code === undefined && this.#deps.isHog(agent.owner)) code = "too-many-streams";
    if (code !== undefined || head === undefined) {
      metrics.refused(code ?? "head-invalid");
      stream.reset(code ?? "head-invalid");
      return stream.handler;
    }
    if (agent.kind === "egress") return this.#out(agent, stream, head);
    return stream.kind === streamKinds.udp
      ? this.#flow(agent, stream, head)
      : this.#pipe(agent, stream, head);
  }

  #refusal({ kind, name, claims }: AgentSession, stream: Stream, head: HeadFields): Code | undefined {
    const { mayReach, egress } = this.#deps;
    if (kind === "connect") {
      if (stream.kind !== streamKinds.tcp) return "kind-unknown";
      if (head.target !== undefined) return "head-invalid";
      return claims.connect.includes(name) ? undefined : "connect-denied";
    }
    if (kind !== "via" && kind !== "egress") return "kind-unknown";
    if (stream.kind !== streamKinds.tcp && stream.kind !== streamKinds.udp) return "kind-unknown";
    if (head.target === undefined) return "head-invalid";
    if (kind === "egress") return egress === undefined ? "kind-unknown" : undefined;
    return mayReach(claims, head.target) === "no" ? "egress-denied" : undefined;
  }

  /** What the far agent gets to read: the target, and how far the token's grant goes. */
  #opening({ claims }: AgentSession, { target }: HeadFields): Uint8Array {
    if (target === undefined) return encodeHead({});
    return encodeHead({ target, publicOnly: this.#deps.mayReach(claims, target) === "public" });
  }

  /** To an agent that serves the tunnel: there, it is a stream like a visitor's. */
  #pipe(agent: AgentSession, stream: Stream, head: HeadFields): StreamHandler {
    const deps = this.#deps;
    const report = this.#report(agent, head);
    const service = agent.kind === "via" ? "egress" : "private";
    const far = new PassageEnd(deps, new TunnelWay(deps, agent.name, service, stream.kind), () =>
      stream.head(noHead),
    );
    const refusal = far.start(this.#opening(agent, head));
    if (refusal !== undefined) {
      stream.reset(refusal);
      report({ bytesIn: 0, bytesOut: 0, code: refusal });
      return stream.handler;
    }
    const near = new StreamEnd(stream);
    splice(near, far, ({ forth, back, code }) => {
      far.settle();
      report({ bytesIn: forth, bytesOut: back, ...(code !== undefined && { code }) });
    });
    return near.receiver;
  }

  /** Datagrams don't wait for an agent. */
  #flow(agent: AgentSession, stream: Stream, head: HeadFields): StreamHandler {
    const deps = this.#deps;
    const way = new TunnelWay(deps, agent.name, "egress", stream.kind);
    const flow = new CallFlow(stream, this.#report(agent, head));
    const far = way.open(this.#opening(agent, head), flow.far);
    if (far === undefined) flow.refuse(way.refusal);
    else flow.join(far);
    return flow.near;
  }

  #out(agent: AgentSession, stream: Stream, head: HeadFields): StreamHandler {
    const { egress } = this.#deps;
    return egress?.(stream, head, agent.claims, this.#report(agent, head)) ?? stream.handler;
  }

  /** Who reached what: an operator is asked for it when somebody complains. */
  #report({ name, kind, claims }: AgentSession, { target }: HeadFields): (end: CallEnd) => void {
    const { metrics, log, clock } = this.#deps;
    const startedMs = clock.now();
    return ({ bytesIn, bytesOut, code }) => {
      metrics.bytesIn += bytesIn;
      metrics.bytesOut += bytesOut;
      const ms = clock.now() - startedMs;
      const { subject } = claims;
      const more = { ...(target !== undefined && { target }), ...(code !== undefined && { code }) };
      log.write({ event: "stream", name, kind, subject, ms, bytesIn, bytesOut, ...more });
    };
  }
}
