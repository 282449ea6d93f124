import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { minterOf } from "../blackbox/programs/mint.ts";
import type { Relay, RelayOptions } from "../blackbox/programs/relay.ts";
import { NameService } from "./name-service.ts";
import { Workerd } from "./workerd.ts";

export interface WorkerdRelayOptions extends RelayOptions {
  /** Where it looks names up. Absent: where no name is known. */
  readonly dnsUrl?: string;
  /** See `WorkerdOptions`. */
  readonly counted?: boolean;
}

export interface WorkerdRelay extends Relay {
  readonly workerd: Workerd;
}

/** The relay in workerd with the face of the other relays under test: switches become variables. */
export async function startWorkerdRelay(options: WorkerdRelayOptions): Promise<WorkerdRelay> {
  const data = options.data ?? (await mkdtemp(join(tmpdir(), "underpass-workerd-")));
  const variables = variablesOf(options);
  const secretText = variables["UNDERPASS_SECRET"] ?? (await secretIn(data));
  const persist = join(data, "objects");
  await mkdir(persist, { recursive: true });
  const names = NameService.listen();
  const dnsUrl = options.dnsUrl ?? names.url;
  const workerd = await Workerd.start({
    variables: { ...variables, UNDERPASS_SECRET: secretText, UNDERPASS_DNS_URL: dnsUrl },
    persist,
    ...(options.counted !== undefined && { counted: options.counted }),
    ...(options.port !== undefined && { port: options.port }),
  });
  const { port, url } = workerd;
  const domain = options.domain ?? "localhost";
  let stopping: Promise<void> | undefined;
  const end = async () => {
    await workerd.stop();
    await names.close();
    if (options.data === undefined) await rm(data, { recursive: true, force: true });
  };
  const stop = () => (stopping ??= end());
  return {
    ...{ url, port, data, workerd },
    hostFor: (name) => `${name}.${domain}:${port}`,
    token: minterOf(secretText),
    stop,
    kill: stop,
  };
}

/** `--domain a --secret-file f` as wrangler.toml would say it. */
function variablesOf(options: RelayOptions): Record<string, string> {
  const variables: Record<string, string> = { UNDERPASS_DOMAIN: options.domain ?? "localhost" };
  const args = options.args ?? [];
  for (let i = 0; i < args.length; i += 2) {
    const [name = "", value = ""] = [args[i], args[i + 1]];
    switch (name) {
      case "--domain":
        variables["UNDERPASS_DOMAIN"] += `,${value}`;
        break;
      case "--routing":
      case "--public-url":
      case "--name-ttl":
      case "--resume-window":
        variables[`UNDERPASS_${name.slice(2).replaceAll("-", "_").toUpperCase()}`] = value;
        break;
      case "--secret-file":
        variables["UNDERPASS_SECRET"] = readFileSync(value, "utf8");
        break;
      default:
        throw new Error(`the relay on Workers has no ${name}`);
    }
  }
  return variables;
}

/** A restarted relay has the same key, as a deployed one has. */
async function secretIn(data: string): Promise<string> {
  const path = join(data, "secret");
  if (!existsSync(path)) await writeFile(path, randomBytes(32).toString("base64url"));
  return readFile(path, "utf8");
}
