import type { Clock } from "../../shared/clock.ts";
import type { RelayLog } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import type { Names } from "../names.ts";
import type { Router } from "../router.ts";
import type { Tunnels } from "../tunnels.ts";
import type { OwnHost } from "./own-host.ts";

/** What visitors' sockets need of the relay around them. */
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
