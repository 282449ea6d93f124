import type { Clock } from "../../shared/clock.ts";
import type { Socket } from "../../shared/socket.ts";
import type { RelayLog } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import type { Names } from "../names.ts";
import type { Router } from "../router.ts";
import type { Tunnels } from "../tunnels.ts";
import { ingressLimits } from "./limits.ts";
import type { OwnHost } from "./own-host.ts";
import { HttpVisitor } from "./visitor.ts";

export interface HttpIngressDeps {
  readonly clock: Clock;
  readonly router: Router;
  readonly tunnels: Tunnels;
  readonly names: Names;
  readonly metrics: Metrics;
  readonly log: RelayLog;
  readonly ownHost: OwnHost;
  /** How visitors call this relay: what the origin is told. */
  readonly scheme: "http" | "https";
}

/** Visitors' sockets in HTTP/1.1: each request goes to a tunnel, or to the relay's own host. */
export class HttpIngress {
  private readonly visitors = new Set<HttpVisitor>();
  private cancelSweep: () => void;

  constructor(readonly deps: HttpIngressDeps) {
    this.cancelSweep = this.sweepLater();
  }

  accept(socket: Socket): void {
    if (this.visitors.size >= ingressLimits.maxVisitors) {
      socket.destroy();
      return;
    }
    this.visitors.add(new HttpVisitor(socket, this));
  }

  /** Exchanges that are still open. */
  get busy(): number {
    let count = 0;
    for (const visitor of this.visitors) if (visitor.busy) count++;
    return count;
  }

  /** From now on each answer closes its socket; idle sockets close at once. */
  drain(): void {
    for (const visitor of this.visitors) if (!visitor.busy) visitor.halfClose();
  }

  /** Ends all that is left. */
  close(): void {
    this.cancelSweep();
    for (const visitor of this.visitors) visitor.destroy();
  }

  forget(visitor: HttpVisitor): void {
    this.visitors.delete(visitor);
  }

  private sweepLater(): () => void {
    const { clock } = this.deps;
    return clock.at(clock.now() + ingressLimits.sweepMs, () => {
      const nowMs = clock.now();
      for (const visitor of this.visitors) if (visitor.deadlineMs <= nowMs) visitor.timeOut();
      this.cancelSweep = this.sweepLater();
    });
  }
}
