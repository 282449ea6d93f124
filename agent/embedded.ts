import { Tokens } from "../relay/auth/tokens.ts";
import { startRelay } from "../relay/relay.ts";
import { UnderpassError } from "../shared/errors.ts";
import type { ListenAddress } from "../shared/listen-address.ts";
import type { Platform } from "./platform.ts";

/** A relay in this process, which takes nobody but this agent. */
export interface EmbeddedRelay {
  /** Where it listens, as the agent dials it. */
  readonly url: URL;
  readonly token: string;
  /** Other machines can reach it. */
  readonly lan: boolean;
  /** The addresses of a tunnel: the host form, and the path form, because `*.localhost` does not resolve everywhere. */
  urls(name: string): string[];
  stop(graceMs: number): Promise<void>;
}

const firstPort = 8787;
/** So many ports are tried before any free one is taken. */
const portTries = 20;
/** Longer than any process of a developer lives; the secret dies with the process. */
const tokenTtlMs = 10 * 365 * 86_400_000;
const nameTtlMs = 86_400_000;

/** Starts it on `listen`, or on 127.0.0.1:8787 or the next free port. Rejects with `port-in-use`. */
export async function embedRelay(
  platform: Platform,
  listen: ListenAddress | undefined,
): Promise<EmbeddedRelay> {
  const { clock, random } = platform;
  const secret = random(new Uint8Array(32));
  const host = listen?.host ?? "127.0.0.1";
  const lan = !isLoopbackAddress(host);
  const lanHost = lan ? (isAnyAddress(host) ? platform.lanAddress() : host) : undefined;
  const start = (port: number): ReturnType<typeof startRelay> =>
    startRelay({
      listen: { host, port },
      accept: platform.listen,
      clock,
      random,
      secret,
      domains: ["localhost", ...(lanHost === undefined ? [] : [lanHost])],
      routing: "both",
      nameTtlMs,
    });
  const relay = listen === undefined ? await startOnFreePort(start) : await start(listen.port);
  const token = await new Tokens(secret).mint(
    { subject: "embedded", kinds: ["http"], ttlMs: tokenTtlMs },
    clock.date(),
  );
  // An agent in the same process needs no other address, whatever else it listens on.
  const own = isAnyAddress(host) ? "127.0.0.1" : host;
  return {
    url: new URL(`http://${bracketed(own)}:${relay.port}`),
    token,
    lan,
    urls: (name) =>
      lanHost === undefined
        ? [`http://${name}.localhost:${relay.port}`, `http://${bracketed(own)}:${relay.port}/~${name}`]
        : [`http://${bracketed(lanHost)}:${relay.port}/~${name}`, `http://${name}.localhost:${relay.port}`],
    stop: (graceMs) => relay.stop(graceMs),
  };
}

async function startOnFreePort<T>(start: (port: number) => Promise<T>): Promise<T> {
  for (let port = firstPort; port < firstPort + portTries; port++) {
    try {
      return await start(port);
    } catch (error) {
      if (!(error instanceof UnderpassError) || error.code !== "port-in-use") throw error;
    }
  }
  return await start(0);
}

function isLoopbackAddress(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(?:\.\d{1,3}){3}$/.test(host);
}

function isAnyAddress(host: string): boolean {
  return host === "0.0.0.0" || host === "::";
}

function bracketed(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}
