import { type Code, codes } from "../shared/errors.ts";
import type { AnswerContext } from "./answer-context.ts";
import { errorPage, titleOf } from "./pages.ts";

/** An HTTP answer in the form that heads are written from. For HEAD, leave the body out and keep the fields. */
export interface Answer {
  readonly status: number;
  /** Name, value, name, value... */
  readonly fields: string[];
  readonly body: Uint8Array<ArrayBuffer>;
}

type Form = "text" | "json" | "html";

const mediaTypes: Readonly<Record<Form, string>> = {
  text: "text/plain; charset=utf-8",
  json: "application/problem+json",
  html: "text/html; charset=utf-8",
};
const defaultRetrySeconds = 5;
/** An Accept beyond this is cut: it is looked at for an error only. */
const maxAcceptChars = 1_024;
const encoder = new TextEncoder();

/** What a visitor, or an agent that dials, gets when the relay itself answers. Codes without a status become 500. */
export function answer(code: Code, context: AnswerContext): Answer {
  const status = codes[code].status ?? 500;
  const retrySeconds = Math.max(1, Math.ceil(context.retryAfterSeconds ?? defaultRetrySeconds));
  const form = formFor(context.accept ?? "");
  const body = encoder.encode(
    form === "html"
      ? errorPage(code, status, context, retrySeconds)
      : form === "json"
        ? problem(code, status, context)
        : `${status} ${code}: ${context.detail ?? codes[code].meaning}\n`,
  );
  const fields = [
    "Underpass-Error",
    code,
    "Content-Type",
    mediaTypes[form],
    "Content-Length",
    String(body.length),
    "Cache-Control",
    "no-store",
    "X-Content-Type-Options",
    "nosniff",
  ];
  if (form === "html")
    fields.push("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'");
  if (status === 503 || status === 429) fields.push("Retry-After", String(retrySeconds));
  // RFC 9110 asks for these with 401 (section 11.6.1) and 405 (section 15.5.6).
  if (status === 401) fields.push("WWW-Authenticate", 'Bearer realm="underpass"');
  if (status === 405) fields.push("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
  return { status, fields, body };
}

/** RFC 9457. `type` is absent, which means about:blank: `code` is what programs switch on. */
function problem(code: Code, status: number, context: AnswerContext): string {
  const { name, host } = context;
  const detail = context.detail ?? codes[code].meaning;
  return `${JSON.stringify({ title: titleOf(code), status, detail, code, name, host })}\n`;
}

/**
 * The form that Accept (RFC 9110 section 12.5.1) likes best. Equal liking: what is named more exactly, then what is
 * named first. Nothing acceptable, or no preference at all: text, which is right for curl and logs.
 */
function formFor(accept: string): Form {
  let best: { form: Form; quality: number; exactness: number } | undefined;
  for (const range of accept.slice(0, maxAcceptChars).toLowerCase().split(",")) {
    const [type = "", ...parameters] = range.split(";").map((part) => part.trim());
    const q = parameters.find((part) => part.startsWith("q="));
    const quality = q === undefined ? 1 : Number.parseFloat(q.slice(2));
    const form = formOf(type);
    if (form === undefined || !(quality > 0)) continue;
    const exactness = type === "*/*" ? 0 : type.endsWith("/*") ? 1 : 2;
    const better =
      best === undefined ||
      quality > best.quality ||
      (quality === best.quality && exactness > best.exactness);
    if (better) best = { form, quality, exactness };
  }
  return best?.form ?? "text";
}

function formOf(type: string): Form | undefined {
  switch (type) {
    case "text/html":
    case "application/xhtml+xml":
      return "html";
    case "application/json":
    case "application/problem+json":
    case "application/*":
      return "json";
    case "text/plain":
    case "text/*":
    case "*/*":
      return "text";
    default:
      return /^application\/[a-z0-9.-]+\+json$/.test(type) ? "json" : undefined;
  }
}
