import type { SessionKind } from "../../shared/kind.ts";

/** What a relay at the edge has what it takes for: there is no public port there but that of HTTP (no tcp, tls, udp). */
const offered: ReadonlySet<SessionKind> = new Set(["http", "private", "connect", "via", "egress"]);

export function offersKind(kind: SessionKind): boolean {
  return offered.has(kind);
}
