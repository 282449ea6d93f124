import type { Clock } from "../shared/clock.ts";
import type { Code } from "../shared/errors.ts";
import { streamKinds } from "../shared/kind.ts";
import type { Stream, StreamHandler } from "../shared/mux/stream.ts";
import type { Way } from "../shared/passage.ts";
import type { Names } from "./names.ts";
import type { Service, Tunnel } from "./tunnels.ts";

/** What a way to a tunnel needs of the relay. */
export interface WayDeps {
  readonly clock: Clock;
  readonly tunnels: {
    find(name: string): Tunnel | undefined;
    /** An agent with this service was here within the resume window and did not say bye. */
    expects(name: string, service: Service, nowMs: number): boolean;
  };
  readonly names: Pick<Names, "lookup">;
}

/** Where those wait who come for that: an agent may be there that carries the tunnel's kind and is no way out. */
export function queueOf(tunnel: string, service: Service): string {
  return service === "egress" ? `${tunnel} egress` : tunnel;
}

/** A visitor's way to the agents of a tunnel, as far as they offer the service that he came for. */
export class TunnelWay implements Way {
  constructor(
    private readonly deps: WayDeps,
    readonly tunnel: string,
    private readonly service: Service,
    /** Of the stream: `streamKinds`. Where a service has only one, it is that. */
    private readonly kind: number,
  ) {}

  get name(): string {
    return queueOf(this.tunnel, this.service);
  }
  open(fields: Uint8Array, handler: StreamHandler): Stream | undefined {
    return this.deps.tunnels.find(this.tunnel)?.open(this.service, this.kind, fields, handler);
  }
  get reachable(): boolean {
    return this.deps.tunnels.find(this.tunnel)?.reaches(this.service) === true;
  }
  /** A socket that is refused can't say why, and its program would come again at once. */
  get isPatient(): boolean {
    return this.kind !== streamKinds.http;
  }
  get expected(): boolean {
    return this.deps.tunnels.expects(this.tunnel, this.service, this.deps.clock.now());
  }
  /** A tunnel of another kind does not exist for this visitor. */
  get refusal(): Code {
    const kind = this.deps.names.lookup(this.tunnel)?.kind;
    const isKnown = kind !== undefined && (kind === this.service || this.service === "egress");
    const refusal = this.deps.tunnels.find(this.tunnel)?.refusal;
    if (isKnown && refusal !== undefined) return refusal;
    return isKnown || this.deps.tunnels.find(this.tunnel)?.serves(this.service) === true
      ? "agent-offline"
      : "unknown-tunnel";
  }
}
