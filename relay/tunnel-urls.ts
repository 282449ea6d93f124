import type { Routing } from "./router.ts";

/** The public addresses of a tunnel, the best first: by host, then by path. No slash at the end. */
export function tunnelUrls(
  name: string,
  ownUrl: string,
  options: {
    readonly domains: readonly string[];
    readonly routing: Routing;
    readonly publicUrl: string | undefined;
  },
): string[] {
  const { domains, routing, publicUrl } = options;
  const base = new URL(publicUrl ?? ownUrl);
  const domain = domains[0] ?? "localhost";
  const port = base.port === "" ? "" : `:${base.port}`;
  const own = publicUrl === undefined ? `${base.protocol}//${domain}${port}` : base.origin;
  const urls: string[] = [];
  if (routing !== "path") urls.push(`${base.protocol}//${name}.${domain}${port}`);
  if (routing !== "host") urls.push(`${own}/~${name}`);
  return urls;
}
