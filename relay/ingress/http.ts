import type { Socket } from "../../shared/socket.ts";
import type { HttpIngressDeps } from "./ingress-deps.ts";
import { ingressLimits } from "./limits.ts";
import { HttpVisitor, type VisitorPlace } from "./visitor.ts";

/** Visitors' sockets in HTTP/1.1: each request goes to a tunnel, or to the relay's own host. */
export class HttpIngress implements VisitorPlace {
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
