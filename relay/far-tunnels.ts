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
    private readonly names: Pick<SharedNames, "isElsewhere" | "looksUp">,
  ) {}

  find(name: string): Tunnel | undefined {
    const near = this.here.find(name);
    return this.names.isElsewhere(name) ? new FarTunnel(name, near) : near;
  }

  expects(...[name, service, nowMs]: Parameters<WayDeps["tunnels"]["expects"]>): boolean {
    if (this.names.looksUp(name)) return true;
    // Who has come to another relay does not come back here.
    return !this.names.isElsewhere(name) && this.here.expects(name, service, nowMs);
  }
}

/** A tunnel whose agents are at another relay; `near`: some of them are here too, which is the shorter way. */
class FarTunnel implements Tunnel {
  readonly refusal = "agent-elsewhere";

  constructor(
    readonly name: string,
    private readonly near: Tunnel | undefined,
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
