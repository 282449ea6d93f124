import { type Code, codes } from "../errors.ts";
import { fieldValue } from "../http1/head.ts";
import type { HttpCallResult } from "./http-call.ts";
import { RelayRefusal } from "./relay-refusal.ts";

/** A relay, or what stands before it, must not put an agent off for longer by its Retry-After. */
const maxRetryAfterMs = 300_000;
/** Text of strangers that is shown to people. */
const maxDetailChars = 300;

/** What an answer that is no success means. */
export function refusal(result: HttpCallResult): RelayRefusal {
  if (result.kind === "failed") {
    const text = `The relay could not be reached: ${tidy(result.detail)}`;
    return new RelayRefusal("relay-unreachable", text, 0, result.reached ? "between" : "nobody");
  }
  if (result.kind === "invalid") return notRelay(tidy(result.detail));
  const { status, fields } = result.head;
  const retryAfterMs = retryAfter(fieldValue(fields, "retry-after"));
  const named = fieldValue(fields, "underpass-error");
  if (named !== undefined) {
    const code = knownCode(named, status);
    const detail = result.kind === "answer" ? member(result.body, "detail") : undefined;
    const text = tidy(typeof detail === "string" ? detail : codes[code].meaning);
    // Another transport may find what this one did not.
    const by = code === "upgrade-required" || code === "not-a-relay" ? "between" : "relay";
    return new RelayRefusal(code, text, retryAfterMs, by);
  }
  // What stands before the relay answers in its place while it is away.
  if (status === 429 || status >= 500) {
    const text = `The relay's address answers ${status}.`;
    return new RelayRefusal("relay-unreachable", text, retryAfterMs, "between");
  }
  const location = status >= 300 && status < 400 ? fieldValue(fields, "location") : undefined;
  const hint = location === undefined ? "" : `, to ${tidy(location)}`;
  return notRelay(`It answers ${status}${hint}.`);
}

/** What answers is no relay, or something stands before one that it does not let through to. */
export function notRelay(why: string): RelayRefusal {
  return new RelayRefusal("not-a-relay", `${codes["not-a-relay"].meaning} (${why})`, 0, "between");
}

/**
 * What a relay tells visitors (an unknown host or tunnel, a path with nothing at it) means to an agent that it has the
 * wrong address: time does not cure it. A code of a newer relay that is not known here counts by its status.
 */
function knownCode(text: string, status: number): Code {
  const wrongAddress = status >= 400 && status < 500 && status !== 408 && status !== 429;
  if (Object.hasOwn(codes, text)) {
    const code = text as Code;
    if (code === "upgrade-required") return code;
    return wrongAddress && !codes[code].fatal ? "not-a-relay" : code;
  }
  return status >= 500 || status === 429 ? "relay-unreachable" : "bad-request";
}

/** Seconds only: a date would need two clocks that agree. */
function retryAfter(text: string | undefined): number {
  return text !== undefined && /^\d{1,6}$/.test(text) ? Math.min(maxRetryAfterMs, Number(text) * 1_000) : 0;
}

/** One line without control characters, for a terminal. */
function tidy(text: string): string {
  return text
    .slice(0, maxDetailChars)
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, " ")
    .trim();
}

/** A member of a JSON object that a stranger sent. */
export function member(json: string, name: string): unknown {
  try {
    const value: unknown = JSON.parse(json);
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
    return Reflect.get(value, name);
  } catch {
    // Not JSON: there is no such member.
    return undefined;
  }
}
