import process from "node:process";
import { UnderpassError } from "../../shared/errors.ts";
import { MessageSocketLink } from "../../shared/links/message-socket.ts";
import { systemClock } from "../../shared/runtimes/system-clock.ts";
import type { CoreConfig } from "../core.ts";
import { FetchRelay } from "../fetch-relay.ts";
import type { FetchPlatform } from "../ingress/fetch-platform.ts";
import type { RelayOptions } from "../options.ts";
import type { RunningRelay } from "../relay.ts";
import { SharedNames } from "../stores/shared-names.ts";
import { DenoKvRegistry, DenoKvRevocations, openDenoKv } from "./deno-kv.ts";
import { DenoUpgrades } from "./deno-upgrades.ts";
import type { RelayEdge } from "./program.ts";
import type { SqliteNamesOptions } from "./sqlite-names.ts";

const deployLimits = {
  /** From SIGINT to SIGKILL it is 5 s there; the last words and the end of the process are to fit in too. */
  maxGraceMs: 4_000,
  /** Of the 768 MB that an app has where nothing else was chosen. */
  memoryBytes: 268_435_456,
} as const;

/** Deno Deploy: it listens for the relay, may end it at any time, and runs as many of it as it likes. */
export const denoDeploy: RelayEdge = {
  optionsOf: deployOptions,
  openNames,
  openRevocations: async () => {
    const kv = isStoreless() ? undefined : await openDenoKv();
    return kv && new DenoKvRevocations(kv);
  },
  start: startOnDeploy,
};

/**
 * The options of a relay on Deno Deploy: there are no files that last and no port to choose. Throws `secret-invalid` or
 * `usage` for what the environment must say.
 */
function deployOptions(options: RelayOptions): RelayOptions {
  const { env } = process;
  if (options.secretText === undefined)
    throw new UnderpassError(
      "secret-invalid",
      "On Deno Deploy, set UNDERPASS_SECRET: 32 bytes or more that nobody guesses.",
    );
  const { UNDERPASS_DOMAIN: domain, UNDERPASS_ROUTING: routing, UNDERPASS_MEMORY: memory } = env;
  if (!domain && options.publicUrl === undefined)
    throw new UnderpassError(
      "usage",
      "On Deno Deploy, set UNDERPASS_PUBLIC_URL to the app's address, or UNDERPASS_DOMAIN to a domain whose wildcard is the app's.",
    );
  if (options.tcpPorts ?? options.udpPorts ?? options.tlsListen ?? options.tls)
    throw new UnderpassError(
      "usage",
      "Deno Deploy has no public port but its own of https: --tcp-ports, --udp-ports, --tls-listen and --tls-cert are for other places.",
    );
  if (options.trustedProxies !== undefined && options.trustedProxies.length > 0)
    throw new UnderpassError(
      "usage",
      "Deno Deploy says itself who the visitor is: --trust-proxy is for other places.",
    );
  if (options.cluster?.advertise !== undefined)
    throw new UnderpassError(
      "usage",
      "On Deno Deploy no process has an address of its own: --advertise is for other places. Its relays reach each other over the bus.",
    );
  return {
    ...options,
    // All comes by TLS there, whatever the request says that is handed over.
    publicUrl: options.publicUrl ?? `https://${options.domains[0]}`,
    // An app's own address has none below it.
    routing: domain || routing ? options.routing : "path",
    graceMs: Math.min(options.graceMs, deployLimits.maxGraceMs),
    memoryBytes: memory ? options.memoryBytes : deployLimits.memoryBytes,
  };
}

/**
 * Names that all processes of the app share. Throws `data-unwritable` where its database can't be opened: without it
 * tokens that were revoked would be good again, so that must be asked for.
 */
async function openNames(
  { nameTtlMs }: RelayOptions,
  { process: self, fault }: SqliteNamesOptions,
): Promise<SharedNames | string> {
  const kv = isStoreless()
    ? undefined
    : await openDenoKv().catch((cause: unknown) => {
        const message = `Deno KV can't be opened (${cause instanceof Error ? cause.message : cause}). Assign one to the app, or set UNDERPASS_STORE=none to do without.`;
        throw new UnderpassError("data-unwritable", message, { cause });
      });
  if (!kv)
    return "This app has no Deno KV: its processes know nothing of each other's names and revocations.";
  const registry = new DenoKvRegistry(kv);
  return new SharedNames({ registry, ttlMs: nameTtlMs, clock: systemClock, process: self, fault });
}

function isStoreless(): boolean {
  return process.env["UNDERPASS_STORE"] === "none";
}

/** Starts a relay on `Deno.serve`, which is what Deploy sends requests to, wherever that listens. */
async function startOnDeploy(config: CoreConfig): Promise<RunningRelay> {
  const upgrades = new DenoUpgrades();
  const platform: FetchPlatform = {
    fieldText: "latin1",
    bodyPipe: () => new TransformStream<Uint8Array, Uint8Array>(),
    respond: (body, status, _reason, headers) => new Response(body, { status, headers }),
    upgrade: (headers) => upgrades.promise(headers),
  };
  const relay = new FetchRelay({
    ...config,
    platform,
    openLink: (headers) => {
      const { socket, response } = upgrades.promise(headers);
      return { link: MessageSocketLink.listenTo(socket, { clock: config.clock }), response };
    },
  });
  const listening = Promise.withResolvers<Deno.Addr>();
  const server = Deno.serve(
    {
      // What the origin sent is what the visitor gets.
      automaticCompression: false,
      onListen: listening.resolve,
      // An exchange that broke off: its visitor sees that it did, and nobody else need.
      onError: () => new Response(null, { status: 500 }),
    },
    async (request, { remoteAddr }) =>
      upgrades.keep(
        request,
        await relay.fetch(request, { fieldText: "latin1", remote: placeOf(remoteAddr) }),
      ),
  );
  const place = placeOf(await listening.promise);
  const url = place === "" && config.publicUrl !== undefined ? config.publicUrl : `http://${place}`;
  relay.begin(url);
  return {
    url,
    port: Number(new URL(url).port),
    async stop(graceMs) {
      const untilMs = systemClock.now() + graceMs;
      await relay.stop(graceMs);
      // Answers are complete here, but not yet with their visitors.
      const { promise, resolve } = Promise.withResolvers<void>();
      const cancel = systemClock.at(untilMs, resolve);
      await Promise.race([server.shutdown(), promise]);
      cancel();
    },
  };
}

/** `address:port`; "" for what has none. */
function placeOf(address: Deno.Addr): string {
  if (address.transport !== "tcp") return "";
  const { hostname, port } = address;
  return `${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
}
