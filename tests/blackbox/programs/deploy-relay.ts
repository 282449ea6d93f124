import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { variableOf } from "../../../relay/switches.ts";
import { denoPath } from "../../../scripts/deno-path.ts";
import { Program } from "./program.ts";
import { listeningRelay, projectRoot, type Relay, type RelayOptions } from "./relay.ts";

export interface DeployRelay extends Relay {
  readonly program: Program;
  readonly pid: number;
}

/**
 * `relay.ts` as Deno Deploy runs it: no switches, all permissions, no unstable flags, and the place where `Deno.serve`
 * listens is chosen by the platform. `env` may add to that, and `flags` for what Deploy has and `deno run` has not.
 */
export async function startDeployRelay(
  options: RelayOptions & { readonly flags?: readonly string[] } = {},
): Promise<DeployRelay> {
  const data = options.data ?? (await mkdtemp(join(tmpdir(), "underpass-deploy-")));
  const domain = options.domain ?? "localhost";
  const secret = await secretIn(data);
  const env = {
    UNDERPASS_SECRET: secret,
    ...variablesOf(options.args ?? [], domain),
    UNDERPASS_JSON: "1",
    DENO_DEPLOYMENT_ID: "here",
    DENO_SERVE_ADDRESS: `tcp:127.0.0.1:${options.port ?? 0}`,
    ...options.env,
  };
  const program = new Program(
    [denoPath(), "run", "-A", ...(options.flags ?? []), join(projectRoot, "relay.ts")],
    { env },
  );
  return listeningRelay(program, { data, domain, isKept: options.data !== undefined });
}

/** `--routing path` as the app's settings would say it. */
function variablesOf(args: readonly string[], domain: string): Record<string, string> {
  const variables: Record<string, string> = { UNDERPASS_DOMAIN: domain };
  for (let i = 0; i < args.length; i += 2) {
    const [name = "", value = ""] = [args[i], args[i + 1]];
    if (name === "--domain") variables["UNDERPASS_DOMAIN"] += `,${value}`;
    else if (name === "--secret-file") variables["UNDERPASS_SECRET"] = readFileSync(value, "utf8");
    else variables[variableOf(name)] = value;
  }
  return variables;
}

/** A relay that is deployed again has the same key. */
async function secretIn(data: string): Promise<string> {
  const path = join(data, "secret");
  if (!existsSync(path)) await writeFile(path, randomBytes(32).toString("base64url"));
  return readFile(path, "utf8");
}
