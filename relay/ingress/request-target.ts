import type { RequestHead } from "../../shared/http1/head.ts";

/** The request's target in origin form (RFC 9112 section 3.2); undefined when it must not go on. */
export function originForm(head: RequestHead, host: string): string | undefined {
  const { method, target } = head;
  if (method === "CONNECT") return undefined;
  if (target.startsWith("/")) return target;
  if (target === "*") return method === "OPTIONS" ? target : undefined;
  const match = /^https?:\/\/([^/?#]*)(\/[^#]*|\?[^#]*)?$/i.exec(target);
  // Absolute form is for proxies; it may repeat the Host, and nothing else.
  if (match === null || match[1]?.toLowerCase() !== host.toLowerCase()) return undefined;
  const rest = match[2] ?? "/";
  return rest.startsWith("/") ? rest : `/${rest}`;
}
