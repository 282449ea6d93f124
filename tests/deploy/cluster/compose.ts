import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { parse } from "yaml";
import { projectRoot } from "../../blackbox/programs/relay.ts";

const service = v.object({
  image: v.string(),
  build: v.optional(v.object({ context: v.string(), dockerfile: v.string() })),
  command: v.optional(v.array(v.string())),
  environment: v.optional(v.record(v.string(), v.string()), {}),
  stop_grace_period: v.optional(v.string()),
  volumes: v.optional(v.array(v.string()), []),
  networks: v.union([
    v.array(v.string()),
    v.record(v.string(), v.object({ ipv4_address: v.optional(v.string()) })),
  ]),
  depends_on: v.optional(v.array(v.string()), []),
});
const compose = v.object({
  services: v.record(v.string(), service),
  networks: v.record(v.string(), v.looseObject({ internal: v.optional(v.boolean(), false) })),
});

export type Compose = v.InferOutput<typeof compose>;
export type ComposeService = Compose["services"][string];

/** deploy/cluster/compose.yaml, with what .env would say. Throws where a variable is missing there. */
export async function readCompose(env: Readonly<Record<string, string>>): Promise<Compose> {
  const text = await readFile(join(projectRoot, "deploy/cluster/compose.yaml"), "utf8");
  const filled = text.replaceAll(/\$\{(\w+):\?([^}]*)\}/g, (_, name: string, why: string) => {
    const value = env[name];
    if (value === undefined) throw new Error(`${name} ${why}`);
    return value;
  });
  if (filled.includes("${"))
    throw new Error("A variable stands there without what is said where it is missing.");
  return v.parse(compose, parse(filled, { merge: true }));
}

/** The relays, by the names of their services. */
export function relaysOf({ services }: Compose): (readonly [string, ComposeService])[] {
  return Object.entries(services).filter(([, { build }]) => build?.dockerfile === "deploy/Dockerfile");
}

export function networksOf({ networks }: ComposeService): string[] {
  return Array.isArray(networks) ? networks : Object.keys(networks);
}
