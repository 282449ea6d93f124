import type { SharedNames } from "./stores/shared-names.ts";
import type { WayDeps } from "./tunnel-way.ts";
import type { Tunnel } from "./tunnels.ts";

/**
 * Tunnels on this relay, or on another of those that share their names. Relays have no way to each other yet: a visitor
 * whose agent is elsewhere is told so, and one whose name is not known here waits until it was looked up.
 */
export class FarTunnels {
  constructor(
    private readonly here: WayDeps["tunnels"],
    private readonly names: Pick<SharedNames, "isElsewhere" | "isInDoubt" | "looksUp">,
  ) {}

  find(name: string): Tunnel | undefined {
    const near = this.here.find(name);
    if (this.names.isElsewhere(name)) return new FarTunnel(name, near, "agent-elsewhere");
    // It may be somebody's: who asks is to come again.
    return near ?? (this.names.isInDoubt(name) ? new FarTunnel(name, undefined, "agent-offline") : undefined);
  }

  expects(...[name, service, nowMs]: Parameters<WayDeps["tunnels"]["expects"]>): boolean {
    if (this.names.looksUp(name)) return true;
    // Who has come to another relay does not come back here.
    return !this.names.isElsewhere(name) && this.here.expects(name, service, nowMs);
  }
}

/** A tunnel whose agents are at another relay; `near`: some of them are here too, which is the shorter way. */
class FarTunnel implements Tunnel {
  constructor(
    readonly name: string,
    private readonly near: Tunnel | undefined,
    readonly refusal: "agent-elsewhere" | "agent-offline",
  ) {}

  open(...stream: Parameters<Tunnel["open"]>): ReturnType<Tunnel["open"]> {
    return this.near?.open(...stream);
  }
  reaches(...service: Parameters<Tunnel["reaches"]>): boolean {
    return this.near?.reaches(...service) === true;
  }
  serves(...service: Parameters<Tunnel["serves"]>): boolean {
    return this.near?.serves(...service) === true;
  }
}
