import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { variableOf } from "../../../relay/switches.ts";
import type { ProgramOptions } from "./program.ts";

/** Switches of the relay that name a file to be read. */
const fileSwitches = ["--secret-file", "--tls-cert", "--tls-key"];
/** Where the suite's visitors, agents and origins are; datagrams to anywhere come from a socket on all addresses. */
const machine = ["127.0.0.1", "[::1]", "localhost", "0.0.0.0", "[::]"];

export interface DenoPlaces extends ProgramOptions {
  /** What the relay reaches beside this machine; `any`: all that tokens grant. */
  readonly net?: "any" | readonly string[];
}

/**
 * What a relay with these arguments needs under `deno run`, each permission by its name: those of `deno task relay`,
 * but for the places, which are this command's own.
 */
export function denoPermissions(
  args: readonly string[],
  { env, cwd = ".", net = [] }: DenoPlaces = {},
): string[] {
  const given = (name: string) => switchValue(args, name) ?? env?.[variableOf(name)];
  const data = resolve(cwd, given("--data") ?? ".underpass");
  const files = fileSwitches.flatMap((name) => given(name) ?? []).map((path) => resolve(cwd, path));
  const places: Readonly<Record<string, readonly string[]>> = {
    "--allow-net": net === "any" ? [] : [...machine, ...net],
    "--allow-read": [data, ...files],
    "--allow-write": [data],
  };
  return taskPermissions().map((flag) => {
    const [name = ""] = flag.split("=");
    const own = places[name];
    if (own === undefined) return flag;
    return own.length === 0 ? name : `${name}=${own.join(",")}`;
  });
}

/** The flags of `deno task relay`. */
export function taskPermissions(): string[] {
  const file = readFileSync(join(import.meta.dir, "../../../deno.json"), "utf8");
  const { tasks } = JSON.parse(file) as { readonly tasks: { readonly relay: string } };
  return tasks.relay.split(" ").filter((word) => word.startsWith("--allow-"));
}

/** `--name VALUE` or `--name=VALUE`. */
export function switchValue(args: readonly string[], name: string): string | undefined {
  const at = args.lastIndexOf(name);
  if (at >= 0) return args[at + 1];
  return args.find((arg) => arg.startsWith(`${name}=`))?.slice(name.length + 1);
}
