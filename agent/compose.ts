import { UnderpassError } from "../shared/errors.ts";
import { Agent, type Origin } from "./agent.ts";
import { Backoff } from "./backoff.ts";
import { looksLikeBlockedHost } from "./blocked-host.ts";
import { RelayDialer } from "./dial.ts";
import { type EmbeddedRelay, embedRelay } from "./embedded.ts";
import type { AgentEvent } from "./events.ts";
import type { AgentOptions } from "./options.ts";
import { type FetchFunction, HandlerOrigin } from "./origins/handler.ts";
import { HttpOrigin } from "./origins/http.ts";
import type { Platform } from "./platform.ts";

export interface ComposeOptions {
  readonly options: AgentOptions;
  readonly platform: Platform;
  readonly version: string;
  readonly onEvent: (event: AgentEvent) => void;
  /** In place of an origin on the network. */
  readonly fetch?: FetchFunction;
  /** A fetch function failed. */
  readonly onError?: (error: unknown) => void;
  /** An answer looked like a dev server's that refuses the Host. */
  readonly onBlockedHost?: () => void;
}

/** An agent with all that it needs, not started yet. */
export interface Composed {
  readonly agent: Agent;
  readonly embedded: EmbeddedRelay | undefined;
  /** Ends agent and embedded relay. Idempotent. */
  stop(graceMs: number): Promise<void>;
}

/** Puts an agent together from what was asked for. Rejects with UnderpassError, such as `port-in-use`. */
export async function compose(given: ComposeOptions): Promise<Composed> {
  const { options, platform, version, onEvent } = given;
  const { clock, random } = platform;
  const embedded = options.relay === undefined ? await embedRelay(platform, options.listen) : undefined;
  const relay = embedded?.url ?? options.relay;
  if (relay === undefined) throw new UnderpassError("usage");
  if (embedded !== undefined) onEvent({ event: "listening", url: embedded.url.origin, embedded: true });
  const origin = makeOrigin(given);
  const agent = new Agent({
    door: new RelayDialer({
      relay,
      dial: platform.dial,
      clock,
      insecure: options.insecure,
    }),
    origin,
    clock,
    ...(options.name !== undefined && { name: options.name }),
    token: embedded === undefined ? () => readToken(options, platform) : async () => embedded.token,
    links: options.links,
    join: options.join,
    reconnect: options.reconnect,
    backoff: () => new Backoff({ maxDelayMs: options.maxReconnectDelayMs, random: Math.random }),
    instance: randomText(random),
    version,
    onEvent(event) {
      if (event.event !== "ready" || embedded === undefined) return onEvent(event);
      const urls = embedded.urls(event.name);
      return onEvent({ ...event, url: urls[0] ?? event.url, urls });
    },
  });
  return {
    agent,
    embedded,
    async stop(graceMs) {
      await agent.stop(graceMs);
      origin.close?.();
      await embedded?.stop(0);
    },
  };
}

function makeOrigin(given: ComposeOptions): Origin {
  const { options, platform, onEvent, fetch } = given;
  if (fetch !== undefined) {
    return new HandlerOrigin({
      fetch,
      clock: platform.clock,
      onRequest: onEvent,
      onError: given.onError ?? (() => {}),
    });
  }
  const { tls, host, port, unix } = options.origin;
  const serverName = host ?? "localhost";
  return new HttpOrigin({
    dial: platform.dial,
    clock: platform.clock,
    target: {
      ...(host !== undefined && { host }),
      ...(port !== undefined && { port }),
      ...(unix !== undefined && { unix }),
      ...(tls && { tls: { serverName, insecure: options.originInsecure } }),
    },
    hostHeader: options.hostHeader,
    dialTimeoutMs: options.originDialTimeoutMs,
    headTimeoutMs: options.originHeadTimeoutMs,
    onRequest: onEvent,
    // Who chose another Host has done what the hint says.
    ...(options.hostHeader === "visitor" && {
      onForbidden: (body: Uint8Array) => {
        if (looksLikeBlockedHost(body)) given.onBlockedHost?.();
      },
    }),
  });
}

async function readToken({ token }: AgentOptions, { readText }: Platform): Promise<string | undefined> {
  if (token === undefined || "value" in token) return token?.value;
  try {
    return (await readText(token.file)).trim();
  } catch (error) {
    throw new UnderpassError("usage", `The token file ${token.file} can't be read.`, { cause: error });
  }
}

/** 24 bytes as base64url: what HELLO calls `instance`. */
function randomText(random: Platform["random"]): string {
  return btoa(String.fromCharCode(...random(new Uint8Array(24))))
    .replaceAll("+", "-")
    .replaceAll("/", "_");
}
