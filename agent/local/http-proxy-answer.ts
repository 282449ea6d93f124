import { type Code, codes } from "../../shared/errors.ts";
import { writeResponseHead } from "../../shared/http1/head.ts";
import { encodeLatin1 } from "../../shared/http1/latin1.ts";
import { reasonPhrase } from "../../shared/http1/reasons.ts";

/** An answer of the proxy itself. */
export interface ProxyAnswer {
  readonly status: number;
  /** Goes into Underpass-Error. */
  readonly code: Code;
  readonly detail: string;
  readonly keepAlive: boolean;
  /** The answer to HEAD: the fields alone. */
  readonly bodiless: boolean;
}

/** Failures on this agent's own way to the relay: trying again later is all there is to do. */
const absent: ReadonlySet<Code> = new Set(["unknown-tunnel", "relay-unreachable"]);

/** The status for a call that failed. What is not the program's fault is never told as one of its own. */
export function failureStatus(code: Code): number {
  const { status } = codes[code];
  if (absent.has(code)) return 503;
  return status === 403 || status === 503 || status === 504 ? status : 502;
}

/** The bytes of an answer, with a short text as its body. */
export function proxyAnswer({ status, code, detail, keepAlive, bodiless }: ProxyAnswer): Uint8Array {
  const body = `${status} ${code}: ${detail}\n`;
  const fields = ["Underpass-Error", code, "Content-Type", "text/plain; charset=utf-8"];
  fields.push("Content-Length", String(body.length), "Cache-Control", "no-store");
  fields.push("X-Content-Type-Options", "nosniff");
  if (status === 407) fields.push("Proxy-Authenticate", 'Basic realm="underpass", charset="UTF-8"');
  if (status === 503) fields.push("Retry-After", "5");
  if (!keepAlive) fields.push("Connection", "close");
  const reason = status === 407 ? "Proxy Authentication Required" : reasonPhrase(status);
  const head = writeResponseHead({ status, reason, minor: 1, fields });
  return encodeLatin1(`${head}\r\n${bodiless ? "" : body}`);
}
