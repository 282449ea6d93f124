import type { Socket } from "../../shared/socket.ts";
import type { HttpIngressDeps } from "./ingress-deps.ts";
import { ingressLimits } from "./limits.ts";
import { HttpVisitor, type VisitorPlace } from "./visitor.ts";

const drainLimits = {
  /** A visitor that seems idle may have a request under way to us: cut off now, it would be lost. */
  idleMs: 5_000,
  /** Visitors are looked at this often while the relay drains. */
  stepMs: 250,
} as const;

/** Visitors' sockets in HTTP/1.1: each request goes to a tunnel, or to the relay's own host. */
export class HttpIngress implements VisitorPlace {
  private readonly visitors = new Set<HttpVisitor>();
  private cancelSweep: () => void;
  private isDraining = false;
  /** Called when the last visitor is gone. */
  private empty = () => {};

  constructor(readonly deps: HttpIngressDeps) {
    this.cancelSweep = this.sweepLater(ingressLimits.sweepMs, () => {});
  }

  accept(socket: Socket): void {
    if (this.visitors.size >= ingressLimits.maxVisitors) {
      socket.destroy();
      return;
    }
    this.visitors.add(new HttpVisitor(socket, this));
  }

  /**
   * Lets visitors finish: each answer is the last of its socket, and those that stay idle are closed after a while.
   * Resolves when none is left, or when the grace has passed.
   */
  drain(graceMs: number): Promise<void> {
    if (!this.hasVisitors()) return Promise.resolve();
    this.isDraining = true;
    const { clock } = this.deps;
    const idleSinceMs = new Map<HttpVisitor, number>();
    const look = (visitor: HttpVisitor, nowMs: number): void => {
      const sinceMs = idleSinceMs.get(visitor);
      if (visitor.lasts || visitor.busy) idleSinceMs.delete(visitor);
      else if (sinceMs === undefined) idleSinceMs.set(visitor, nowMs);
      else if (nowMs - sinceMs >= drainLimits.idleMs) visitor.retire();
    };
    for (const visitor of this.visitors) look(visitor, clock.now());
    this.cancelSweep();
    this.cancelSweep = this.sweepLater(drainLimits.stepMs, look);
    return new Promise((resolve) => {
      const cancel = clock.at(clock.now() + graceMs, resolve);
      this.empty = () => {
        cancel();
        resolve();
      };
    });
  }

  /** Ends all that is left. */
  close(): void {
    this.cancelSweep();
    for (const visitor of this.visitors) visitor.destroy();
  }

  forget(visitor: HttpVisitor): void {
    this.visitors.delete(visitor);
    if (this.visitors.size === 0) this.empty();
  }

  /** Others than those that bring a link's POSTs. */
  private hasVisitors(): boolean {
    for (const visitor of this.visitors) if (!visitor.lasts) return true;
    return false;
  }

  private sweepLater(stepMs: number, look: (visitor: HttpVisitor, nowMs: number) => void): () => void {
    const { clock } = this.deps;
    return clock.at(clock.now() + stepMs, () => {
      const nowMs = clock.now();
      for (const visitor of this.visitors) {
        if (visitor.deadlineMs <= nowMs) visitor.timeOut();
        else look(visitor, nowMs);
      }
      if (this.isDraining && !this.hasVisitors()) this.empty();
      this.cancelSweep = this.sweepLater(stepMs, look);
    });
  }
}
