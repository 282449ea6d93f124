import type { SessionKind } from "../../shared/kind.ts";

/**
 * What a relay at the edge has what it takes for. There is no public port there but that of HTTP (tcp, tls, udp), and
 * no way out on which a name can be resolved and the address be checked before it is dialled (egress).
 */
const offered: ReadonlySet<SessionKind> = new Set(["http", "private", "connect", "via"]);

export function offersKind(kind: SessionKind): boolean {
  return offered.has(kind);
}
