import { isName } from "../shared/name.ts";

export type Routing = "host" | "path" | "both";

/** Where a request belongs. */
export type Route =
  | { readonly kind: "tunnel"; readonly name: string; readonly target: string; readonly prefix?: string }
  /** The relay's own pages. */
  | { readonly kind: "own" }
  | { readonly kind: "redirect"; readonly location: string }
  /** A host that is not served here. */
  | { readonly kind: "unknown" };

/** What a Host field says. */
interface Host {
  /** The relay itself. */
  readonly isOwn: boolean;
  /** The one of --public-url. */
  readonly isPublic: boolean;
  /** The tunnel that it would be by its first label. */
  readonly name: string | undefined;
}

const nobody: Host = { isOwn: false, isPublic: false, name: undefined };

export interface RouterOptions {
  /** Lower case, no port. The first is the one that addresses are made of. */
  readonly domains: readonly string[];
  readonly routing: Routing;
  /** The host name of --public-url, where that is given. */
  readonly publicHost?: string | undefined;
  /** Where neighbours reach this very relay. */
  readonly ownHost?: string | undefined;
}

/** Few and short: a key may pin the head that it was cut from. */
const maxSeenHosts = 256;
const maxSeenHostChars = 255;

/** Host and path to tunnel: the one place that decides, so that routing and checks never read different values. */
export class Router {
  /** Host fields that were looked at before: a handful of them makes up nearly all requests. */
  private readonly seen = new Map<string, Host>();

  constructor(private readonly options: RouterOptions) {}

  /** `host` as in the Host field; `target` in origin form. */
  route(host: string, target: string): Route {
    const { isOwn, name } = this.host(host);
    if (isOwn) return this.own(target);
    return name === undefined || this.options.routing === "path"
      ? { kind: "unknown" }
      : { kind: "tunnel", name, target };
  }

  /**
   * The tunnel that a TLS server name (RFC 6066 section 3) means; undefined: none here. Whatever the routing, as there
   * is no path to go by.
   */
  tunnelOf(serverName: string): string | undefined {
    const host = serverName.includes(":") ? nobody : this.host(serverName);
    return host.isPublic ? undefined : host.name;
  }

  /** NAME of NAME.DOMAIN. */
  private nameIn(bare: string): string | undefined {
    const dot = bare.indexOf(".");
    const name = bare.slice(0, Math.max(dot, 0));
    const { domains } = this.options;
    // One domain may lie in another.
    const isOurs = isName(name) && domains.includes(bare.slice(dot + 1)) && !domains.includes(bare);
    return isOurs ? name : undefined;
  }

  private host(host: string): Host {
    const known = this.seen.get(host);
    if (known !== undefined) return known;
    const found = this.lookAt(hostName(host));
    if (host.length > maxSeenHostChars) return found;
    if (this.seen.size >= maxSeenHosts) this.seen.clear();
    this.seen.set(host, found);
    return found;
  }

  private lookAt(bare: string | undefined): Host {
    if (bare === undefined) return nobody;
    const { domains, publicHost, ownHost } = this.options;
    const isPublic = bare === publicHost;
    return {
      isOwn: isPublic || bare === ownHost || domains.includes(bare) || isAddress(bare),
      isPublic,
      name: this.nameIn(bare),
    };
  }

  private own(target: string): Route {
    if (this.options.routing === "host" || !target.startsWith("/~")) return { kind: "own" };
    let to = 2;
    while (to < target.length && target[to] !== "/" && target[to] !== "?") to++;
    const name = target.slice(2, to);
    if (!isName(name)) return { kind: "own" };
    const prefix = `/~${name}`;
    const rest = target.slice(to);
    // Without the slash a page's relative links would leave the tunnel.
    if (!rest.startsWith("/")) return { kind: "redirect", location: `${prefix}/${rest}` };
    return { kind: "tunnel", name, target: rest, prefix };
  }
}

/** The Host field less its port, in lower case; undefined when it is malformed (RFC 9110 section 7.2). */
function hostName(host: string): string | undefined {
  const match = /^(\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9._-]+)(?::\d{0,5})?$/.exec(host);
  const bare = match?.[1]?.toLowerCase();
  return bare?.endsWith(".") === true ? bare.slice(0, -1) : bare;
}

function isAddress(host: string): boolean {
  return host.startsWith("[") || /^\d{1,3}(?:\.\d{1,3}){3}$/.test(host);
}
