import type { PassageDeps } from "../../shared/passage.ts";
import type { RelayLog } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import type { Router } from "../router.ts";
import type { TrustedProxies } from "../trusted-proxies.ts";
import type { WayDeps } from "../tunnel-way.ts";
import type { OwnHost } from "./own-host.ts";

/** What visitors' sockets need of the relay around them. */
export interface HttpIngressDeps extends PassageDeps, WayDeps {
  readonly metrics: Metrics;
  readonly router: Router;
  readonly log: RelayLog;
  readonly ownHost: OwnHost;
  /** How visitors call this relay: what the origin is told. */
  readonly scheme: "http" | "https";
  /** Proxies that are believed when they say who calls; absent: none. */
  readonly proxies?: TrustedProxies;
}
