import { Tokens } from "../../relay/auth/tokens.ts";
import { startRelay } from "../../relay/relay.ts";
import { UnderpassError } from "../../shared/errors.ts";
import type { Kind } from "../../shared/kind.ts";
import type { ListenAddress } from "../../shared/listen-address.ts";
import type { Platform } from "../platform.ts";
import type { ReadyEvent } from "../screen/events.ts";

/** A relay in this process, which takes nobody but this agent, and whoever it lets reach its private tunnels. */
export interface EmbeddedRelay {
  /** Where it listens, as the agent dials it. */
  readonly url: URL;
  readonly token: string;
  /** Other machines can reach it. */
  readonly lan: boolean;
  /**
   * The addresses of a tunnel that the relay has told of. Of http the host form, and the path form, because
   * `*.localhost` does not resolve everywhere.
   */
  urls(ready: ReadyEvent): readonly string[];
  /** A token for `connect` to the private tunnel `name`, and nothing else. */
  connectToken(name: string): Promise<string>;
  stop(graceMs: number): Promise<void>;
}

const firstPort = 8787;
/** So many ports are tried before any free one is taken. */
const portTries = 20;
/** Longer than any process of a developer lives; the secret dies with the process. */
const tokenTtlMs = 10 * 365 * 86_400_000;
const nameTtlMs = 86_400_000;
/** Any that takes no privilege: whoever starts the agent may listen there anyway. */
const publicPorts = { low: 1_024, high: 65_535 } as const;

export interface EmbedOptions {
  /** Absent: 127.0.0.1:8787 or the next free port. */
  readonly listen?: ListenAddress | undefined;
  /** tls tunnels have a port of their own, which is not opened for nothing. */
  readonly kinds: readonly Kind[];
}

/** Starts it. Rejects with `port-in-use`. */
export async function embedRelay(
  platform: Platform,
  { listen, kinds }: EmbedOptions,
): Promise<EmbeddedRelay> {
  const { clock, random, dial, resolve, openDatagrams } = platform;
  const secret = random(new Uint8Array(32));
  const host = listen?.host ?? "127.0.0.1";
  const lan = !isLoopbackAddress(host);
  const lanHost = lan ? (isAnyAddress(host) ? platform.lanAddress() : host) : undefined;
  const start = (port: number): ReturnType<typeof startRelay> =>
    startRelay({
      listen: { host, port },
      accept: platform.listen,
      ...{ clock, random, secret, dial, resolve, openDatagrams },
      tcpPorts: publicPorts,
      udpPorts: publicPorts,
      ...(kinds.includes("tls") && { tlsListen: { host, port: 0 } }),
      domains: ["localhost", ...(lanHost === undefined ? [] : [lanHost])],
      routing: "both",
      nameTtlMs,
    });
  const relay = listen === undefined ? await startOnFreePort(start) : await start(listen.port);
  const tokens = new Tokens(secret);
  const token = await tokens.mint({ subject: "embedded", ttlMs: tokenTtlMs }, clock.date());
  // An agent in the same process needs no other address, whatever else it listens on.
  const own = isAnyAddress(host) ? "127.0.0.1" : host;
  return {
    url: new URL(`http://${bracketed(own)}:${relay.port}`),
    token,
    lan,
    urls: ({ kind, name = "", url, urls }) => {
      const byPath = `http://${bracketed(lanHost ?? own)}:${relay.port}/~${name}`;
      const byHost = `http://${name}.localhost:${relay.port}`;
      if (kind === "http") return lanHost === undefined ? [byHost, byPath] : [byPath, byHost];
      // Not by name: `localhost` may lead to ::1 first, where nothing listens.
      if (kind === "tcp" || kind === "udp") return [`${kind}://${bracketed(lanHost ?? own)}:${portOf(url)}`];
      return urls;
    },
    connectToken: (name) =>
      tokens.mint(
        { subject: "embedded", names: [], kinds: [], connect: [name], ttlMs: tokenTtlMs },
        clock.date(),
      ),
    stop: (graceMs) => relay.stop(graceMs),
  };
}

/** What stands after the last colon of an address without path. */
function portOf(url: string): string {
  return url.slice(url.lastIndexOf(":") + 1);
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
