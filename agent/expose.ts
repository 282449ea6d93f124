import manifest from "../package.json" with { type: "json" };
import { UnderpassError } from "../shared/errors.ts";
import { type Kind, kinds } from "../shared/kind.ts";
import type { ExposeCommand } from "./command/options.ts";
import { checkRelayLink } from "./command/relay-link.ts";
import { checkTunnel } from "./command/tunnel-spec.ts";
import { compose } from "./compose/compose.ts";
import type { FetchFunction } from "./origins/handler.ts";
import { bunPlatform } from "./runtimes/bun.ts";
import type { AgentEvent } from "./screen/events.ts";

export { type Code, codes, UnderpassError } from "../shared/errors.ts";
export type { AgentEvent, FetchFunction };

/** What to expose (exactly one of the first seven), and how. */
export interface ExposeOptions {
  /** A web service on this machine. */
  readonly port?: number;
  /** The same as on the command line: `http://host:port`, `https://host:port`, `unix:/path`. */
  readonly target?: string;
  /** A fetch function in this process, such as `app.fetch` of Hono: no port at all. */
  readonly fetch?: FetchFunction;
  /** A service of bytes, at a public port: the port on this machine, `host:port` or `unix:/path`. */
  readonly tcp?: number | string;
  /** One that speaks TLS itself, found by its name (SNI). */
  readonly tls?: number | string;
  /** One of datagrams: a port, or `host:port`. */
  readonly udp?: number | string;
  /** One without a public address, which `connect` reaches. */
  readonly private?: number | string;
  /** Of tcp and udp: the public port; absent: any that is free. */
  readonly remotePort?: number;
  /** Of tcp and tls: the service is told who called. */
  readonly proxyProtocol?: "v1" | "v2";
  /** HOST-GLOB:PORTS or CIDR:PORTS that `proxy --via` may reach from here. Default: nothing. */
  readonly allowEgress?: readonly string[];
  /** Over what it dials: `auto` (default), `ws` or `sse`. */
  readonly transport?: "auto" | "ws" | "sse";
  /** One, or several of one cluster, the preferred first. Absent: a relay is embedded, for this machine. */
  readonly relay?: string | URL | readonly (string | URL)[];
  readonly token?: string;
  /** Absent: a random one. */
  readonly name?: string;
  /** What the origin sees as Host: `visitor` (default), `origin`, or a value. */
  readonly hostHeader?: string;
  /** Send the token over plain http to other machines. */
  readonly insecure?: boolean;
  /** Accept any certificate of an https origin. */
  readonly originInsecure?: boolean;
  /** Links to the relay, 1 to 8; default 2. */
  readonly links?: number;
  /** false: a relay that can't be reached, or is lost, ends the tunnel. Default true: it is dialled again, for ever. */
  readonly reconnect?: boolean;
  /** Share the name with other agents that join it. Default false: take it over. */
  readonly join?: boolean;
  /** What happens, as `--json` prints it. */
  readonly onEvent?: (event: AgentEvent) => void;
  /** A fetch function threw, or its answer could not be sent. Default: to the console. */
  readonly onError?: (error: unknown) => void;
  /** Gives up waiting for the tunnel, and closes it later on. */
  readonly signal?: AbortSignal;
}

/** A tunnel that is up. */
export interface Tunnel extends AsyncDisposable {
  readonly name: string;
  /** The public address. */
  readonly url: string;
  /** Every form of it. */
  readonly urls: readonly string[];
  /** Resolves when the tunnel is closed; rejects with UnderpassError when something ended it for good. */
  readonly closed: Promise<void>;
  /** Lets open exchanges finish for `graceMs` (default 5,000) and closes. Idempotent. */
  close(graceMs?: number): Promise<void>;
}

/**
 * Makes an origin reachable, and resolves when it is. Rejects with UnderpassError: `usage` and its like for wrong
 * options, and whatever refusal of the relay time can't cure (`unauthorized`, `name-taken`, ...).
 */
export async function expose(given: ExposeOptions): Promise<Tunnel> {
  const { signal } = given;
  signal?.throwIfAborted();
  const ready = Promise.withResolvers<{ name: string; url: string; urls: readonly string[] }>();
  const composed = await compose({
    command: check(given),
    platform: bunPlatform,
    version: manifest.version,
    onEvent(event) {
      if (event.event === "ready") ready.resolve({ ...event, name: event.name ?? "" });
      given.onEvent?.(event);
    },
    onError: given.onError ?? ((error) => console.error(error)),
    ...(given.fetch && { fetch: given.fetch }),
  });
  const close = (graceMs = 5_000): Promise<void> => composed.stop(graceMs);
  signal?.addEventListener("abort", () => void close(), { once: true });
  // The embedded relay ends with its agent, whatever ended that.
  const closed = composed.ended.then(async (reason) => {
    await composed.stop(0);
    if (reason !== undefined) throw reason;
  });
  // Whoever does not look at `closed` is told by `onEvent`, not by an unhandled rejection.
  closed.catch(() => {});
  composed.start();
  const gone = closed.then((): never => {
    throw signal?.reason ?? new UnderpassError("goodbye");
  });
  const { name, url, urls } = await Promise.race([ready.promise, gone]);
  // From here on the same news comes by `closed`.
  gone.catch(() => {});
  return { name, url, urls, closed, close, [Symbol.asyncDispose]: () => close() };
}

function check(given: ExposeOptions): ExposeCommand {
  const { fetch, name, hostHeader, originInsecure, join, remotePort, proxyProtocol, allowEgress } = given;
  const { relay, token, insecure, links, reconnect, transport } = given;
  const { kind, target } = whatToExpose(given);
  const wish = { kind, target, name, hostHeader, originInsecure, join };
  const tunnel = checkTunnel({ ...wish, remotePort, proxyProtocol, allowEgress }, "");
  return {
    command: "expose",
    tunnel: fetch === undefined ? tunnel : { ...tunnel, origin: { tls: false, url: "a fetch function" } },
    link: checkRelayLink(
      {
        relays: relay === undefined ? undefined : [relay].flat().map(String),
        token: token === undefined ? undefined : { value: token },
        insecure,
        links,
        reconnect,
        transport,
      },
      "",
    ),
  };
}

function whatToExpose(given: ExposeOptions): { readonly kind: Kind; readonly target: string } {
  const { port, target, fetch } = given;
  // A fetch function has no address: what stands for it is never dialled.
  const http = [port, target, fetch === undefined ? undefined : 1];
  const ways = kinds.flatMap((kind) =>
    (kind === "http" ? http : [given[kind]]).flatMap((way) =>
      way === undefined ? [] : { kind, target: String(way) },
    ),
  );
  const [only] = ways;
  if (only === undefined || ways.length > 1) {
    const words = "port, target, fetch, tcp, tls, udp and private";
    throw new UnderpassError("usage", `expose() takes exactly one of ${words}.`);
  }
  return only;
}
