import { UnderpassError } from "../shared/errors.ts";
import type { Routing } from "./router.ts";

/** How the outside reaches a relay, checked: each takes a switch's text, or a variable's, and throws `usage`. */
export function checkedRouting(text: string): Routing {
  if (text === "host" || text === "path" || text === "both") return text;
  throw new UnderpassError("usage", `--routing: '${text}' is none of host, path, both.`);
}

export function checkedDomain(text: string): string {
  const domain = text.toLowerCase().replace(/\.$/, "");
  const labels = domain.split(".");
  const valid = labels.every((label) => /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(label));
  // A last label of digits is an IPv4 address (WHATWG URL): nothing can stand before one.
  if (!valid || domain.length > 189 || /^\d+$/.test(labels.at(-1) ?? "")) {
    throw new UnderpassError(
      "usage",
      `--domain: '${text}' is not a domain like tunnels.example, without port or scheme.`,
    );
  }
  return domain;
}

export function checkedPublicUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const bare = url && url.pathname === "/" && !url.search && !url.hash && !url.username && !url.password;
  if (!bare || (url.protocol !== "https:" && url.protocol !== "http:")) {
    throw new UnderpassError(
      "usage",
      `--public-url: '${text}' is not like https://relay.example, without path.`,
    );
  }
  return url.origin;
}

/** What the outside calls the relay, unless that is an address, before which no name can stand. */
export function defaultDomain(publicUrl: string | undefined): string {
  const host = publicUrl === undefined ? "localhost" : new URL(checkedPublicUrl(publicUrl)).hostname;
  return /^[\d.]+$|^\[/.test(host) ? "localhost" : host;
}
