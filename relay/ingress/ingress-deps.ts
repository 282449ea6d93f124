import type { RelayLog } from "../log.ts";
import type { Router } from "../router.ts";
import type { OwnHost } from "./own-host.ts";
import type { PassageDeps } from "./passage.ts";

/** What visitors' sockets need of the relay around them. */
export interface HttpIngressDeps extends PassageDeps {
  readonly router: Router;
  readonly log: RelayLog;
  readonly ownHost: OwnHost;
  /** How visitors call this relay: what the origin is told. */
  readonly scheme: "http" | "https";
}
