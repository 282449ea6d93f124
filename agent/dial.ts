import type { Clock } from "../shared/clock.ts";
import { type Code, codes, UnderpassError } from "../shared/errors.ts";
import type { ResponseHead } from "../shared/http1/head.ts";
import type { Link } from "../shared/link.ts";
import { WebSocketLink } from "../shared/links/websocket.ts";
import { isName } from "../shared/name.ts";
import type { Dial, DialTarget } from "../shared/socket.ts";
import { checkUpgradeAnswer, newKey } from "../shared/websocket/upgrade.ts";
import { type HttpCallResult, httpCall } from "./http-call.ts";
import { RelayRefusal } from "./relay-refusal.ts";

export interface RelayDialerOptions {
  /** http, https, ws or wss; the path, if any, stands before `/_underpass/`. */
  readonly relay: URL;
  readonly dial: Dial;
  readonly clock: Clock;
  /** Send a token over plain http to other machines too. */
  readonly insecure: boolean;
  /** For everything up to the answer; 10 s where absent. */
  readonly timeoutMs?: number;
}

const defaultTimeoutMs = 10_000;
/** A relay, or what stands before it, must not put an agent off for longer by its Retry-After. */
const maxRetryAfterMs = 300_000;
/** Text of strangers that is shown to people. */
const maxDetailChars = 300;
const subprotocol = "underpass.1";

/** The relay as an agent reaches it: opens links, asks for names (PROTOCOL.md section 1). */
export class RelayDialer {
  readonly #options: RelayDialerOptions;
  constructor(options: RelayDialerOptions) {
    this.#options = options;
  }

  /** Opens a link to the tunnel `name`, to resume `session` where that is given. `done` is called once, never from inside. Returns what gives up. */
  openLink(
    name: string,
    session: string | undefined,
    token: string | undefined,
    done: (result: Link | UnderpassError) => void,
  ): () => void {
    const key = newKey(crypto.getRandomValues(new Uint8Array(16)));
    const fields = [
      "Connection: Upgrade",
      "Upgrade: websocket",
      "Sec-WebSocket-Version: 13",
      `Sec-WebSocket-Key: ${key}`,
      `Sec-WebSocket-Protocol: ${subprotocol}`,
    ];
    const path = `links/${encodeURIComponent(name)}${session === undefined ? "" : `/${session}`}`;
    return this.#call("GET", path, token, fields, "", (result) => {
      if (result instanceof UnderpassError) {
        done(result);
        return;
      }
      if (result.kind !== "upgraded") {
        done(refusal(result));
        return;
      }
      const { head, socket, early } = result;
      const wrong = checkUpgradeAnswer(head.fields, key, subprotocol);
      if (wrong === undefined) {
        done(new WebSocketLink(socket, { role: "agent", clock: this.#options.clock, early }));
      } else {
        socket.destroy();
        done(new RelayRefusal("not-a-relay", `${codes["not-a-relay"].meaning} (${wrong})`));
      }
    });
  }

  /** Asks for a random name. `done` is called once, never from inside. Returns what gives up. */
  requestName(token: string | undefined, done: (result: string | UnderpassError) => void): () => void {
    const body = JSON.stringify({ kind: "http" });
    const fields = ["Connection: close", "Content-Type: application/json", `Content-Length: ${body.length}`];
    return this.#call("POST", "names", token, fields, body, (result) => {
      // Nobody asked for an upgrade.
      if (!(result instanceof UnderpassError) && result.kind === "upgraded") result.socket.destroy();
      if (result instanceof UnderpassError) done(result);
      else done((result.kind === "answer" && givenName(result)) || refusal(result));
    });
  }

  #call(
    method: string,
    path: string,
    token: string | undefined,
    fields: readonly string[],
    body: string,
    done: (result: HttpCallResult | UnderpassError) => void,
  ): () => void {
    const { relay, dial, clock, timeoutMs = defaultTimeoutMs } = this.#options;
    const misuse = this.#misuse(token);
    if (misuse !== undefined) {
      let given = true;
      clock.soon(() => given && done(misuse));
      return () => {
        given = false;
      };
    }
    const lines = [
      `${method} ${relay.pathname.replace(/\/+$/, "")}/_underpass/${path} HTTP/1.1`,
      `Host: ${relay.host}`,
      "Accept: application/problem+json, application/json",
      ...(token === undefined ? [] : [`Authorization: Bearer ${token}`]),
      ...fields,
    ];
    const request = new TextEncoder().encode(`${lines.join("\r\n")}\r\n\r\n${body}`);
    return httpCall({ dial, clock, target: targetOf(relay), method, request, timeoutMs, done });
  }

  #misuse(token: string | undefined): UnderpassError | undefined {
    if (token === undefined) return undefined;
    const { relay, insecure } = this.#options;
    if (!isSecure(relay) && !insecure && !isLoopback(relay.hostname))
      return new RelayRefusal("insecure-relay");
    // RFC 6750 section 2.1; anything else could break out of its line.
    if (!/^[A-Za-z0-9._~+/-]+=*$/.test(token))
      return new RelayRefusal(
        "unauthorized",
        "The token has characters that a token can't have. Is it the right file?",
      );
    return undefined;
  }
}

function isSecure(relay: URL): boolean {
  return relay.protocol === "https:" || relay.protocol === "wss:";
}

/** 127.0.0.0/8, ::1 and localhost. `URL` has made one form of all ways to write an address. */
function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(hostname);
}

function targetOf(relay: URL): DialTarget {
  const host = relay.hostname.replace(/^\[|\]$/g, "");
  const secure = isSecure(relay);
  const port = relay.port === "" ? (secure ? 443 : 80) : Number(relay.port);
  return { host, port, ...(secure && { tls: { serverName: host, insecure: false } }) };
}

/** The name in a 201, if that is what came. */
function givenName({ head, body }: { head: ResponseHead; body: string }): string | undefined {
  if (head.status !== 201) return undefined;
  const name = member(body, "name");
  return name !== undefined && isName(name) ? name : undefined;
}

/** What an answer that is no success means. */
function refusal(result: HttpCallResult): RelayRefusal {
  if (result.kind === "failed")
    return new RelayRefusal("relay-unreachable", `The relay could not be reached: ${tidy(result.detail)}`);
  if (result.kind === "invalid")
    return new RelayRefusal("not-a-relay", `${codes["not-a-relay"].meaning} (${tidy(result.detail)})`);
  const { status, fields } = result.head;
  const retryAfterMs = retryAfter(field(fields, "retry-after"));
  const named = field(fields, "underpass-error");
  if (named !== undefined) {
    const code = knownCode(named, status);
    const detail = result.kind === "answer" ? member(result.body, "detail") : undefined;
    return new RelayRefusal(code, tidy(detail ?? codes[code].meaning), retryAfterMs);
  }
  // What stands before the relay answers in its place while it is away.
  if (status === 429 || status >= 500)
    return new RelayRefusal("relay-unreachable", `The relay's address answers ${status}.`, retryAfterMs);
  const location = status >= 300 && status < 400 ? field(fields, "location") : undefined;
  const hint = location === undefined ? "" : `, to ${tidy(location)}`;
  return new RelayRefusal("not-a-relay", `${codes["not-a-relay"].meaning} (It answers ${status}${hint}.)`);
}

/**
 * What a relay tells visitors (an unknown host or tunnel, a path with nothing at it) means to an agent that it has the
 * wrong address: time does not cure it. A code of a newer relay that is not known here counts by its status.
 */
function knownCode(text: string, status: number): Code {
  const wrongAddress = status >= 400 && status < 500 && status !== 408 && status !== 429;
  if (Object.hasOwn(codes, text)) {
    const code = text as Code;
    return wrongAddress && !codes[code].fatal ? "not-a-relay" : code;
  }
  return status >= 500 || status === 429 ? "relay-unreachable" : "bad-request";
}

function field(fields: readonly string[], name: string): string | undefined {
  for (let i = 0; i + 1 < fields.length; i += 2) if (fields[i]?.toLowerCase() === name) return fields[i + 1];
  return undefined;
}

/** Seconds only: a date would need two clocks that agree. */
function retryAfter(text: string | undefined): number {
  return text !== undefined && /^\d{1,6}$/.test(text) ? Math.min(maxRetryAfterMs, Number(text) * 1_000) : 0;
}

/** A text member of a JSON object that a stranger sent. */
function member(json: string, name: string): string | undefined {
  try {
    const value: unknown = JSON.parse(json);
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
    const text: unknown = Reflect.get(value, name);
    return typeof text === "string" ? text : undefined;
  } catch {
    // Not JSON: there is no such member.
    return undefined;
  }
}

/** One line without control characters, for a terminal. */
function tidy(text: string): string {
  return text
    .slice(0, maxDetailChars)
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, " ")
    .trim();
}
