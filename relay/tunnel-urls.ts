import type { SessionKind } from "../shared/kind.ts";
import type { Routing } from "./router.ts";

/** What addresses are made of. */
export interface UrlFacts {
  readonly domains: readonly string[];
  readonly routing: Routing;
  readonly publicUrl: string | undefined;
  /** Where tls tunnels are reached; absent: they are not. */
  readonly tlsPort?: number | undefined;
  /** The public port of a tcp or udp tunnel. */
  readonly portOf?: (name: string, kind: "tcp" | "udp") => number | undefined;
}

/** The public addresses of a tunnel, the best first: by host, then by path. No slash at the end. */
export function tunnelUrls(name: string, kind: SessionKind, ownUrl: string, facts: UrlFacts): string[] {
  const { domains, routing, publicUrl, tlsPort, portOf } = facts;
  const base = new URL(publicUrl ?? ownUrl);
  const domain = domains[0] ?? "localhost";
  switch (kind) {
    case "http":
      break;
    case "tcp":
    case "udp": {
      const port = portOf?.(name, kind);
      const host = publicUrl === undefined ? domain : base.hostname;
      return port === undefined ? [] : [`${kind}://${host}:${port}`];
    }
    case "tls":
      return tlsPort === undefined ? [] : [`tls://${name}.${domain}:${tlsPort}`];
    case "private":
      return [`private:${name}`];
    default:
      return [];
  }
  const port = base.port === "" ? "" : `:${base.port}`;
  const own = publicUrl === undefined ? `${base.protocol}//${domain}${port}` : base.origin;
  const urls: string[] = [];
  if (routing !== "path") urls.push(`${base.protocol}//${name}.${domain}${port}`);
  if (routing !== "host") urls.push(`${own}/~${name}`);
  return urls;
}
