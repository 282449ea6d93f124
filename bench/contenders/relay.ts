import { join } from "node:path";
import type { Child } from "../child.ts";
import type { Site } from "../site.ts";
import type { Crew } from "./crew.ts";

const root = join(import.meta.dir, "../..");

export interface Relay {
  readonly child: Child;
  readonly port: number;
  readonly url: string;
  readonly tokenFile: string;
  /** A token for somebody. */
  token(subject: string): Promise<string>;
}

/** A relay as anyone would start it, on a free port; `args`: more switches. */
export async function startRelay(crew: Crew, site: Site, args: readonly string[]): Promise<Relay> {
  const data = ["--data", crew.folder];
  const token = (subject: string): Promise<string> =>
    crew.start(ours("relay.ts", "token", "--sub", subject, ...data), { cwd: root }).output();
  const tokenFile = await crew.file("bench.token", await token("bench"));
  const child = crew.start(
    // nginx runs with access_log off, too.
    ours(
      "relay.ts",
      "--listen",
      `${site.publicHost}:0`,
      "--domain",
      "localhost",
      ...data,
      ...args,
      "--quiet",
      "--json",
    ),
    { cwd: root, dropStderr: true },
  );
  const port = await child.line(listeningPort);
  const url = `http://${site.publicHost}:${port}`;
  return { child, port, url, tokenFile, token };
}

/** An agent with one tunnel, as anyone would start it; `args`: kind, target and more. */
export async function startAgent(
  crew: Crew,
  site: Site,
  relay: Relay,
  args: readonly string[],
): Promise<Child> {
  const agent = crew.start(
    site.privately(
      ours(
        ...["agent.ts", ...args, "--quiet", "--relay", relay.url, "--token-file", relay.tokenFile],
        ...(site.publicHost === "127.0.0.1" ? [] : ["--insecure"]),
      ),
    ),
    { cwd: root },
  );
  // The screen shows the public address when there is one.
  await agent.line((line) => (line.includes("://") ? line : undefined));
  return agent;
}

function ours(...args: readonly string[]): string[] {
  return [process.execPath, ...profiling(args), ...args];
}

/** `UNDERPASS_BENCH_PROFILE=FOLDER` writes a CPU profile of each process there when it stops. */
function profiling([program = ""]: readonly string[]): string[] {
  const folder = process.env["UNDERPASS_BENCH_PROFILE"];
  return folder === undefined
    ? []
    : ["--cpu-prof", "--cpu-prof-dir", join(folder, program.replace(".ts", ""))];
}

function listeningPort(line: string): number | undefined {
  try {
    const event: unknown = JSON.parse(line);
    if (typeof event !== "object" || event === null || !("event" in event) || !("url" in event))
      return undefined;
    return event.event === "listening" && typeof event.url === "string"
      ? Number(new URL(event.url).port)
      : undefined;
  } catch {
    return undefined; // a line of log, not an event
  }
}
