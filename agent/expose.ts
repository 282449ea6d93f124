import manifest from "../package.json" with { type: "json" };
import { UnderpassError } from "../shared/errors.ts";
import { compose } from "./compose.ts";
import type { AgentEvent } from "./events.ts";
import type { ExposeCommand } from "./options.ts";
import type { FetchFunction } from "./origins/handler.ts";
import { checkRelayLink } from "./relay-link.ts";
import { bunPlatform } from "./runtimes/bun.ts";
import { checkTunnel } from "./tunnel-spec.ts";

export { type Code, codes, UnderpassError } from "../shared/errors.ts";
export type { AgentEvent, FetchFunction };

/** What to expose (one of the first three), and how. */
export interface ExposeOptions {
  /** A web service on this machine. */
  readonly port?: number;
  /** The same as on the command line: `http://host:port`, `https://host:port`, `unix:/path`. */
  readonly target?: string;
  /** A fetch function in this process, such as `app.fetch` of Hono: no port at all. */
  readonly fetch?: FetchFunction;
  /** Absent: a relay is embedded, for this machine. */
  readonly relay?: string | URL;
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
  const { port, target, fetch } = given;
  if ([port, target, fetch].filter((way) => way !== undefined).length !== 1) {
    throw new UnderpassError("usage", "expose() takes exactly one of port, target and fetch.");
  }
  const { name, hostHeader, originInsecure, join } = given;
  const { relay, token, insecure, links, reconnect } = given;
  // A fetch function has no address: what stands for it is never dialled.
  const wish = {
    kind: "http",
    target: target ?? String(port ?? 1),
    name,
    hostHeader,
    originInsecure,
    join,
  } as const;
  const tunnel = checkTunnel(wish, "");
  return {
    command: "expose",
    tunnel: fetch === undefined ? tunnel : { ...tunnel, origin: { tls: false, url: "a fetch function" } },
    link: checkRelayLink(
      {
        relay: relay === undefined ? undefined : String(relay),
        token: token === undefined ? undefined : { value: token },
        insecure,
        links,
        reconnect,
      },
      "",
    ),
  };
}
