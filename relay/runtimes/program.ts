import { randomUUID } from "node:crypto";
import process from "node:process";
import manifest from "../../package.json" with { type: "json" };
import { codes, UnderpassError } from "../../shared/errors.ts";
import { openDatagrams } from "../../shared/runtimes/node-datagrams.ts";
import { nodeResolve } from "../../shared/runtimes/node-resolve.ts";
import { ownAddresses } from "../../shared/runtimes/own-addresses.ts";
import { systemClock } from "../../shared/runtimes/system-clock.ts";
import type { Dial, Listen } from "../../shared/socket.ts";
import type { Revocations } from "../auth/revocations.ts";
import { parseRelayCommand } from "../command-line.ts";
import type { CoreConfig } from "../core.ts";
import type { RelayOptions } from "../options.ts";
import { type RunningRelay, startRelay } from "../relay.ts";
import type { NameStore } from "../store.ts";
import { MemoryRevocations } from "../stores/memory-revocations.ts";
import { mintToken } from "../token.ts";
import { tunnelUrls } from "../tunnel-urls.ts";
import { readCertificate } from "./certificate.ts";
import { joinCluster } from "./cluster.ts";
import { loadSecret, openNames, openOwnRevocations, openRevocations } from "./files.ts";
import { askHealth } from "./health.ts";
import type { SqliteNamesOptions } from "./sqlite-names.ts";
import { StreamLog } from "./stream-log.ts";

/** The runtime's own sockets; what else a relay needs is the same on Bun and Deno. */
export interface RelaySockets {
  readonly listen: Listen;
  readonly dial: Dial;
}

/** A platform that listens for the relay, and keeps no files. */
export interface RelayEdge {
  /** What the platform leaves to be chosen, checked. */
  optionsOf(options: RelayOptions): RelayOptions;
  /** Where names are kept that all the app's processes share; or why they can't be. */
  openNames(
    options: RelayOptions,
    store: SqliteNamesOptions,
  ): Promise<(NameStore & { close(): Promise<void> }) | string>;
  /** Asked for where names are kept. undefined: this process keeps its own. */
  openRevocations(): Promise<(Revocations & { close(): void }) | undefined>;
  start(config: CoreConfig): Promise<RunningRelay>;
}

/** `relay.ts` as a program, on Bun and on Deno. Resolves with the exit code. */
export async function runRelay(sockets: RelaySockets, edge?: RelayEdge): Promise<number> {
  try {
    const command = parseRelayCommand(process.argv.slice(2), process.env, manifest.version);
    if (command.command === "text") {
      process.stdout.write(command.text);
      return 0;
    }
    if (command.command === "token") {
      const { stdout, stderr } = await mintToken(
        command.options,
        await loadSecret(command.options),
        systemClock.date(),
      );
      process.stderr.write(stderr);
      process.stdout.write(stdout);
      return 0;
    }
    if (command.command === "health") {
      await askHealth(command.options);
      return 0;
    }
    return await serve(edge?.optionsOf(command.options) ?? command.options, sockets, edge);
  } catch (error) {
    const known = error instanceof UnderpassError ? error : undefined;
    process.stderr.write(`relay: ${known?.message ?? String(error)}\n`);
    return known === undefined ? 1 : (codes[known.code].exit ?? 1);
  }
}

/** For what was written last, where a peer keeps a socket open. */
const lastWordsMs = 250;

async function serve(
  options: RelayOptions,
  { listen, dial }: RelaySockets,
  edge: RelayEdge | undefined,
): Promise<number> {
  const { secret, source } = await loadSecret(options);
  const log = new StreamLog(options);
  const stopped = Promise.withResolvers<void>();
  let signals = 0;
  let relay: RunningRelay | undefined;
  const stop = (): void => {
    if (++signals > 1 || relay === undefined) process.exit(0);
    log.note("Stopping: no new visitors; what is open may finish. Again to end at once.");
    relay.stop(options.graceMs).then(stopped.resolve, stopped.reject);
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, stop);
  const { cluster: asked, ...rest } = options;
  const fault = (what: string) => (error: Error) =>
    log.write({ event: "fault", message: `${what}: ${error.message}` });
  const own = asked && edge === undefined ? await openOwnRevocations(options) : undefined;
  const joined =
    asked &&
    (await joinCluster(asked, {
      ...{ clock: systemClock, own: own ?? new MemoryRevocations() },
      fault: (error) => {
        if (error !== undefined) fault("The cluster")(error);
        else log.write({ event: "recovered", message: "The cluster: NATS can be reached again." });
      },
    }));
  const names = joined
    ? undefined
    : await (edge?.openNames ?? openNames)(options, {
        clock: systemClock,
        process: randomUUID(),
        fault: fault("The store of names"),
      });
  if (typeof names === "string") log.note(`${names} They are forgotten when this process ends.`);
  const kept = typeof names === "object" ? await (edge?.openRevocations ?? openRevocations)(options) : own;
  const revocations = joined?.revocations ?? kept;
  const core: CoreConfig & Omit<RelayOptions, "cluster"> = {
    ...rest,
    ...(typeof names === "object" && { names }),
    ...(joined && { cluster: joined.cluster }),
    ...(revocations !== undefined && { revocations }),
    ...{ dial, openDatagrams, resolve: nodeResolve(), isOwn: ownAddresses() },
    clock: systemClock,
    random: (bytes) => crypto.getRandomValues(bytes),
    secret,
    log,
  };
  const pem = options.tls && (await readCertificate(options.tls));
  relay = await (edge?.start(core) ?? startRelay({ ...core, accept: listen, tls: pem }));
  log.note(`${placesOf(relay, options)} Tokens are checked with ${source}.`);
  try {
    await stopped.promise;
  } finally {
    if (typeof names === "object") await names.close();
    await joined?.close();
    kept?.close();
    log.flush();
    // Sockets that are still in a handshake are not waited for; where none is left, this is not either.
    setTimeout(() => process.exit(), lastWordsMs).unref();
  }
  return 0;
}

/** Where visitors come, for whoever started it. */
function placesOf(relay: RunningRelay, options: RelayOptions): string {
  const tls = relay.tlsPort === undefined ? "" : `, tls tunnels at port ${relay.tlsPort}`;
  const ports = (["tcp", "udp"] as const).map((kind) => {
    const range = options[`${kind}Ports`];
    return range === undefined ? "" : `, ${kind} tunnels at ports ${range.low} to ${range.high}`;
  });
  const [tunnels] = tunnelUrls("NAME", "http", relay.url, { ...options, publicUrl: options.publicUrl });
  return `Relay at ${relay.url}, tunnels at ${tunnels}${ports.join("")}${tls}.`;
}
