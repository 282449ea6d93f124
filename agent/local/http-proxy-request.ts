import type { Framing } from "../../shared/http1/framing.ts";
import { fieldValue, type RequestHead, writeRequestHead } from "../../shared/http1/head.ts";
import { namedByConnection, withoutHopByHop } from "../../shared/http1/hop.ts";
import { encodeLatin1 } from "../../shared/http1/latin1.ts";
import { targetText } from "./proxy-target.ts";

/** What a request asks of an HTTP proxy. */
export type ProxyRequest =
  /** CONNECT (RFC 9110 section 9.3.6). `target`: `HOST:PORT`. */
  | { readonly kind: "connect"; readonly target: string }
  /** Absolute form (RFC 9112 section 3.2.2). `path`: the target in origin form; `host`: what the origin sees as Host. */
  | { readonly kind: "absolute"; readonly target: string; readonly path: string; readonly host: string }
  /** `detail`: why it is answered 400. */
  | { readonly kind: "wrong"; readonly detail: string };

const notForUs =
  "This port is a proxy (underpass proxy): it speaks SOCKS5 and HTTP to programs that are told to use it as their proxy, and has no pages of its own.";
const schemePattern = /^([a-zA-Z][a-zA-Z0-9+.-]*):\/\//;
const absolutePattern = /^http:\/\/([^/?#]*)([^#]*)$/i;
const authorityPattern = /^(\[[^\]]*\]|[^:[\]]*)(?::(\d{0,5}))?$/;
const usualPort = 80;

/** What the head of a request asks for. Its framing has been checked: there is one Host at most, and one framing. */
export function readProxyRequest(head: RequestHead, framing: Framing): ProxyRequest {
  const { method, target } = head;
  if (method === "CONNECT") return connectRequest(target, framing);
  if (target.startsWith("/") || target === "*") return wrong(notForUs);
  const scheme = schemePattern.exec(target)?.[1]?.toLowerCase();
  if (scheme === "https") return wrong("A proxy does not speak TLS for you: ask for https by CONNECT.");
  if (scheme !== "http") return wrong("The target is not an http:// URL.");
  const [, authority = "", rest = ""] = absolutePattern.exec(target) ?? [];
  const [, host = "", digits = ""] = authorityPattern.exec(authority) ?? [];
  const called = targetText(host, digits === "" ? usualPort : Number(digits));
  // A user in the URL is refused as well: it belongs into Authorization (RFC 9110 section 4.2.4).
  if (called === undefined) return wrong("The URL has no host and port that can be called.");
  const ofAll = method === "OPTIONS" && rest === "";
  const path = ofAll ? "*" : rest.startsWith("/") ? rest : `/${rest}`;
  return { kind: "absolute", target: called, path, host: digits === "" ? host : authority };
}

function connectRequest(authority: string, framing: Framing): ProxyRequest {
  const [, host = "", digits = ""] = authorityPattern.exec(authority) ?? [];
  const target = digits === "" ? undefined : targetText(host, Number(digits));
  if (target === undefined) return wrong("CONNECT takes HOST:PORT.");
  if (framing.kind === "none" || (framing.kind === "length" && framing.bytes === 0))
    return { kind: "connect", target };
  return wrong("CONNECT has no body.");
}

function wrong(detail: string): ProxyRequest {
  return { kind: "wrong", detail };
}

/** Whether a request may become another protocol's bytes. */
export function asksForUpgrade(head: RequestHead, framing: Framing): boolean {
  if (framing.kind !== "none" || head.minor === 0) return false;
  return fieldValue(head.fields, "upgrade") !== undefined && namedByConnection(head.fields).has("upgrade");
}

/**
 * The head that goes to the origin, with its empty line: origin form, Host by the URL, without what concerned the proxy.
 * Each request has a stream of its own, so the origin is told to close; but for an upgrade, whose Connection is its own.
 */
export function onwardHead(
  head: RequestHead,
  { path, host }: { readonly path: string; readonly host: string },
  { upgrade }: { readonly upgrade: boolean },
): Uint8Array {
  const fields: string[] = ["Host", host];
  let hasConnection = false;
  const clean = withoutHopByHop(head.fields, { keepUpgrade: upgrade });
  for (let i = 0; i < clean.length; i += 2) {
    const name = clean[i] ?? "";
    const lower = name.toLowerCase();
    if (lower === "host" || lower.startsWith("proxy-")) continue;
    if (lower === "connection") hasConnection = true;
    fields.push(name, clean[i + 1] ?? "");
  }
  if (!hasConnection) fields.push("Connection", "close");
  const onward = writeRequestHead({ method: head.method, target: path, minor: 1, fields });
  return encodeLatin1(`${onward}\r\n`);
}
