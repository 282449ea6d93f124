import type { Clock } from "../clock.ts";
import { UnderpassError } from "../errors.ts";
import { fieldValue, type ResponseHead } from "../http1/head.ts";
import type { Kind } from "../kind.ts";
import type { Link } from "../link.ts";
import { openEventStream } from "../links/event-stream-agent.ts";
import { eventStreamLimits } from "../links/event-stream-limits.ts";
import type { PostCap } from "../links/event-stream-posts.ts";
import { WebSocketLink } from "../links/websocket.ts";
import { isName } from "../name.ts";
import type { Dial, DialTarget } from "../socket.ts";
import { checkUpgradeAnswer, newKey } from "../websocket/upgrade.ts";
import { type HttpCallResult, httpCall } from "./http-call.ts";
import type { GivenName, LinkPlace, NameWish } from "./place.ts";
import { member, notRelay, refusal } from "./relay-answer.ts";
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
const subprotocol = "underpass.1";
const noWayDown = "The relay answers, but what it sends does not come through as it is sent.";

/** The relay as an agent reaches it: opens links, asks for names (PROTOCOL.md section 1). */
export class RelayDialer {
  readonly #options: RelayDialerOptions;
  readonly #postCap: PostCap = { bytes: eventStreamLimits.maxPostBytes };

  constructor(options: RelayDialerOptions) {
    this.#options = options;
  }

  /**
   * Opens a WebSocket. `done` is called once, never from inside; `reached` before, if anything takes the dial. Returns
   * what gives up.
   */
  openLink(
    place: LinkPlace,
    token: string | undefined,
    done: (result: Link | UnderpassError) => void,
    reached?: () => void,
  ): () => void {
    const key = newKey(crypto.getRandomValues(new Uint8Array(16)));
    const fields = [
      "Connection: Upgrade",
      "Upgrade: websocket",
      "Sec-WebSocket-Version: 13",
      `Sec-WebSocket-Key: ${key}`,
      `Sec-WebSocket-Protocol: ${subprotocol}`,
    ];
    return this.#call("GET", linkPath(place), token, { fields, reached }, (result) => {
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
        done(notRelay(wrong));
      }
    });
  }

  /** Opens a link of events and POSTs (section 1.1), as `openLink` does. */
  openEventLink(
    place: LinkPlace,
    token: string | undefined,
    done: (result: Link | UnderpassError) => void,
    reached?: () => void,
  ): () => void {
    const { relay, dial, clock, timeoutMs = defaultTimeoutMs } = this.#options;
    const untilMs = clock.now() + timeoutMs;
    const fields = ["Connection: close", `Underpass-Protocol: ${subprotocol}`];
    const streams = ({ status, fields }: ResponseHead): boolean =>
      status === 200 && fieldValue(fields, "content-type")?.startsWith("text/event-stream") === true;
    let giveUp = (): void => {};
    const giveUpCall = this.#call(
      "GET",
      linkPath(place),
      token,
      { fields, accept: "text/event-stream", streams, reached },
      (result) => {
        if (result instanceof UnderpassError) {
          done(result);
          return;
        }
        if (result.kind === "upgraded") result.socket.destroy();
        if (result.kind !== "streaming") {
          done(refusal(result));
          return;
        }
        const options = {
          ...{ clock, dial, target: targetOf(relay), cap: this.#postCap },
          postHead: (link: string) =>
            `${this.#requestLine("POST", `posts/${place.name}/${link}`)}\r\nHost: ${relay.host}\r\nContent-Type: application/octet-stream\r\n`,
          openWithinMs: Math.max(0, untilMs - clock.now()),
        };
        giveUp = openEventStream(result.body, options, (link) =>
          done(link ?? new RelayRefusal("relay-unreachable", noWayDown, 0, "between")),
        );
      },
    );
    return () => {
      giveUpCall();
      giveUp();
    };
  }

  /** Asks for a name, and for tcp and udp a port. `done` is called once, never from inside. Returns what gives up. */
  requestName(
    token: string | undefined,
    { kind, name, port }: NameWish,
    done: (result: GivenName | UnderpassError) => void,
  ): () => void {
    const body = JSON.stringify({
      kind,
      ...(name !== undefined && { name }),
      ...(port !== undefined && { port }),
    });
    const fields = ["Connection: close", "Content-Type: application/json", `Content-Length: ${body.length}`];
    return this.#call("POST", "names", token, { fields, body }, (result) => {
      // Nobody asked for an upgrade.
      if (!(result instanceof UnderpassError) && result.kind === "upgraded") result.socket.destroy();
      if (result instanceof UnderpassError) done(result);
      else done((result.kind === "answer" && given(result, kind)) || refusal(result));
    });
  }

  #call(
    method: string,
    path: string,
    token: string | undefined,
    {
      fields,
      accept = "application/problem+json, application/json",
      body = "",
      streams,
      reached,
    }: {
      readonly fields: readonly string[];
      readonly accept?: string;
      readonly body?: string;
      readonly streams?: (head: ResponseHead) => boolean;
      readonly reached?: (() => void) | undefined;
    },
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
      this.#requestLine(method, path),
      `Host: ${relay.host}`,
      `Accept: ${accept}`,
      ...(token === undefined ? [] : [`Authorization: Bearer ${token}`]),
      ...fields,
    ];
    const request = new TextEncoder().encode(`${lines.join("\r\n")}\r\n\r\n${body}`);
    const target = targetOf(relay);
    return httpCall({
      ...{ dial, clock, target, method, request, timeoutMs, done },
      ...(streams && { streams }),
      ...(reached && { reached }),
    });
  }

  #requestLine(method: string, path: string): string {
    return `${method} ${this.#options.relay.pathname.replace(/\/+$/, "")}/_underpass/${path} HTTP/1.1`;
  }

  #misuse(token: string | undefined): UnderpassError | undefined {
    if (token === undefined) return undefined;
    if (token === "") return new RelayRefusal("unauthorized", "The token is empty.");
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

/** `links/NAME[/SESSION][?kind=KIND]`. A relay that knows one kind only reads no query. */
function linkPath({ name, kind, session }: LinkPlace): string {
  const query = kind === "http" ? "" : `?kind=${kind}`;
  return `links/${encodeURIComponent(name)}${session === undefined ? "" : `/${session}`}${query}`;
}

/** What a 201 gives, if that is what came. */
function given({ head, body }: { head: ResponseHead; body: string }, kind: Kind): GivenName | undefined {
  if (head.status !== 201) return undefined;
  const name = member(body, "name");
  if (typeof name !== "string" || !isName(name)) return undefined;
  if (kind !== "tcp" && kind !== "udp") return { name };
  const port = member(body, "port");
  return typeof port === "number" && Number.isInteger(port) && port > 0 && port < 65_536
    ? { name, port }
    : undefined;
}
