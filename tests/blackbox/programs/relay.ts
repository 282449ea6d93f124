import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { denoPath } from "../../../scripts/deno-path.ts";
import { type DenoPlaces, denoPermissions } from "./deno-permissions.ts";
import { Program } from "./program.ts";

/** Which relay the suite runs against. The cases are the same for all. */
export type RelayRuntime = "bun" | "deno" | "workerd";

const asked = process.env["UNDERPASS_TEST_RELAY"];
/** `deno-cluster`: two relays that share only the bus, agents at the one and visitors at the other. */
export const isCluster = asked === "deno-cluster";

export const relayRuntime: RelayRuntime = isCluster ? "deno" : parseRuntime(asked);

export const projectRoot = join(import.meta.dir, "../../..");

export interface TokenOptions {
  readonly sub?: string;
  readonly names?: readonly string[];
  readonly kinds?: readonly string[];
  readonly connect?: readonly string[];
  readonly egress?: readonly string[];
  readonly ttl?: string;
  readonly admin?: boolean;
}

/** A relay under test, whatever runs it. */
export interface Relay {
  /** Where agents go: `http://127.0.0.1:PORT` */
  readonly url: string;
  /** Where visitors go, on 127.0.0.1. */
  readonly port: number;
  /** Absent where the relay is no process of its own. */
  readonly pid?: number;
  /** Absent where the relay is no process of its own. */
  readonly program?: Program;
  readonly data: string;
  /** What a visitor of the tunnel says in Host. */
  hostFor(name: string): string;
  /** A token of this relay's key. */
  token(options?: TokenOptions): Promise<string>;
  /** Ends it as an operator would. */
  stop(): Promise<void>;
  /** Ends it as a power cut would. The data folder stays. */
  kill(): Promise<void>;
}

export interface RelayOptions extends DenoPlaces {
  readonly args?: readonly string[];
  readonly domain?: string;
  /** Absent: a free one. */
  readonly port?: number;
  /** Absent: a new folder, removed at the end. */
  readonly data?: string;
}

/** Starts the relay that the environment asks for. */
export async function startRelay(options: RelayOptions = {}): Promise<Relay> {
  if (isCluster) {
    const { startTwoRelays } = await import("../../cluster/two-relays.ts");
    return startTwoRelays(options);
  }
  if (relayRuntime !== "workerd") return startRelayProgram(options);
  // Only here, because Miniflare takes a second to load.
  const { startWorkerdRelay } = await import("../../edge/workerd-relay.ts");
  return startWorkerdRelay(options);
}

async function startRelayProgram(options: RelayOptions): Promise<Relay> {
  const domain = options.domain ?? "localhost";
  const data = options.data ?? (await mkdtemp(join(tmpdir(), "underpass-relay-")));
  const listen = `127.0.0.1:${options.port ?? 0}`;
  const program = relayProgram(
    ["--json", "--listen", listen, "--data", data, "--domain", domain, ...(options.args ?? [])],
    options,
  );
  return listeningRelay(program, { data, domain, isKept: options.data !== undefined });
}

/** A relay that runs as a program: once it listens. `data` is removed with it, unless it `isKept`. */
export async function listeningRelay(
  program: Program,
  { data, domain, isKept }: { readonly data: string; readonly domain: string; readonly isKept: boolean },
): Promise<Relay & { readonly program: Program; readonly pid: number }> {
  const listening = await program.event("listening").catch(async (error: unknown) => {
    await program.kill();
    throw error;
  });
  const url = String(listening["url"]);
  const port = Number(new URL(url).port);
  const clear = async () => {
    if (!isKept) await rm(data, { recursive: true, force: true });
  };
  return {
    ...{ url, port, program, pid: program.pid, data },
    hostFor: (name) => `${name}.${domain}:${port}`,
    token: (wanted) => mintToken(data, wanted),
    stop: async () => {
      await program.stop();
      await clear();
    },
    kill: async () => {
      await program.kill();
      await clear();
    },
  };
}

/** `relay.ts` with these arguments, on the runtime that the environment asks for. */
export function relayProgram(args: readonly string[], options: DenoPlaces = {}): Program {
  const runtime =
    relayRuntime === "deno"
      ? [denoPath(), "run", "--no-prompt", ...denoPermissions(args, options)]
      : [process.execPath];
  return new Program([...runtime, join(projectRoot, "relay.ts"), ...args], options);
}

async function mintToken(data: string, wanted: TokenOptions = {}): Promise<string> {
  const args = ["token", "--data", data, "--sub", wanted.sub ?? "tester"];
  for (const name of wanted.names ?? []) args.push("--name", name);
  for (const kind of wanted.kinds ?? []) args.push("--kind", kind);
  for (const name of wanted.connect ?? []) args.push("--connect", name);
  for (const pattern of wanted.egress ?? []) args.push("--egress", pattern);
  if (wanted.ttl) args.push("--ttl", wanted.ttl);
  if (wanted.admin) args.push("--admin");
  const program = relayProgram(args);
  const code = await program.exit();
  if (code !== 0) throw new Error(`exit ${code}: ${program.describe()}`);
  return program.stdout.trim();
}

function parseRuntime(text: string | undefined): RelayRuntime {
  if (text === undefined || text === "") return "bun";
  if (text === "bun" || text === "deno" || text === "workerd") return text;
  throw new Error(`UNDERPASS_TEST_RELAY is ${text}; it can be bun, deno, deno-cluster or workerd`);
}
