import { UnderpassError } from "../../shared/errors.ts";
import { parseDuration } from "../../shared/units.ts";
import { secretFromText } from "../auth/secret.ts";
import { checkedDomain, checkedPublicUrl, checkedRouting, defaultDomain } from "../public-address.ts";
import type { Routing } from "../router.ts";

/** The variables and secrets of wrangler.toml; the same words as the environment of `relay.ts`. */
export interface WorkersEnv {
  readonly UNDERPASS_SECRET?: string;
  readonly UNDERPASS_DOMAIN?: string;
  readonly UNDERPASS_ROUTING?: string;
  readonly UNDERPASS_PUBLIC_URL?: string;
  readonly UNDERPASS_NAME_TTL?: string;
  readonly UNDERPASS_RESUME_WINDOW?: string;
  readonly UNDERPASS_DNS_URL?: string;
}

export interface WorkersConfig {
  readonly secret: Uint8Array;
  readonly domains: readonly string[];
  readonly routing: Routing;
  readonly publicUrl: string | undefined;
  readonly nameTtlMs: number;
  readonly resumeWindowMs: number;
  /** Where names are looked up for egress: workers-resolve.ts. */
  readonly dnsUrl: string;
}

const defaultDnsUrl = "https://cloudflare-dns.com/dns-query";

/** Throws `secret-invalid` when there is no secret: nowhere can one be kept that was made here. Or `usage`. */
export function workersConfig(env: WorkersEnv): WorkersConfig {
  const publicUrl = env.UNDERPASS_PUBLIC_URL ? checkedPublicUrl(env.UNDERPASS_PUBLIC_URL) : undefined;
  const domains = (env.UNDERPASS_DOMAIN || defaultDomain(publicUrl)).split(",");
  return {
    secret: secretFromText(env.UNDERPASS_SECRET ?? ""),
    domains: [...new Set(domains.map((domain) => checkedDomain(domain.trim())))],
    routing: checkedRouting(env.UNDERPASS_ROUTING || "both"),
    publicUrl,
    nameTtlMs: parseDuration(env.UNDERPASS_NAME_TTL || "24h"),
    resumeWindowMs: parseDuration(env.UNDERPASS_RESUME_WINDOW || "60s"),
    dnsUrl: checkedDnsUrl(env.UNDERPASS_DNS_URL || defaultDnsUrl),
  };
}

/** Whoever answers there decides what names lead to: so nobody may be in between. */
function checkedDnsUrl(text: string): string {
  const url = URL.parse(text);
  const isBare = url !== null && url.search === "" && url.hash === "" && url.username + url.password === "";
  const isNear = url !== null && ["127.0.0.1", "[::1]", "localhost"].includes(url.hostname);
  if (!isBare || (url.protocol !== "https:" && !(url.protocol === "http:" && isNear)))
    throw new UnderpassError("usage", `UNDERPASS_DNS_URL: '${text}' is not like ${defaultDnsUrl}.`);
  return url.href;
}
