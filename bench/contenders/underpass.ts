import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Child } from "../child.ts";
import type { Contender, Target } from "./contender.ts";

const root = join(import.meta.dir, "../..");

/** Relay and agents as anyone would start them, each in a process of its own; one agent for each origin. */
export const underpass: Contender = {
  name: "underpass",
  about: "`bun relay.ts` and `bun agent.ts`, separate processes, host routing",
  absent: async () =>
    (await Bun.file(join(root, "relay.ts")).exists()) && (await Bun.file(join(root, "agent.ts")).exists())
      ? undefined
      : "relay.ts and agent.ts are not there yet",
  async start(origins) {
    const data = await mkdtemp(join(tmpdir(), "underpass-bench-relay-"));
    const children: Child[] = [];
    const program = (...args: string[]): Child => {
      const dropStderr = args.includes("--listen");
      const child = new Child({
        command: [process.execPath, ...profiling(args), ...args],
        cwd: root,
        dropStderr,
      });
      children.push(child);
      return child;
    };
    const stop = async (): Promise<void> => {
      for (const child of children.toReversed()) await child.stop();
      await rm(data, { recursive: true, force: true });
    };
    try {
      const token = await program("relay.ts", "token", "--sub", "bench", "--data", data).output();
      const tokenFile = join(data, "bench.token");
      await Bun.write(tokenFile, token, { mode: 0o600 });

      const relay = program(
        "relay.ts",
        "--listen",
        "127.0.0.1:0",
        "--domain",
        "localhost",
        "--data",
        data,
        // nginx runs with access_log off.
        "--quiet",
        "--json",
      );
      const url = new URL(await relay.line(listeningUrl));

      const target = async (name: string, port: number): Promise<Target> => {
        const agent = program(
          "agent.ts",
          "http",
          `http://127.0.0.1:${port}`,
          "--relay",
          url.origin,
          "--name",
          name,
          "--token-file",
          tokenFile,
          "--quiet",
        );
        await agent.line((line) => (line.includes("://") ? line : undefined));
        return {
          host: "127.0.0.1",
          port: Number(url.port),
          authority: `${name}.localhost`,
          processes: [
            { role: "relay", pid: relay.pid },
            { role: "agent", pid: agent.pid },
          ],
        };
      };
      return {
        web: await target("blue", origins.web.port),
        sink: await target("sink", origins.sink.port),
        stop,
      };
    } catch (error) {
      await stop();
      throw error;
    }
  },
};

function listeningUrl(line: string): string | undefined {
  try {
    const event: unknown = JSON.parse(line);
    if (typeof event !== "object" || event === null || !("event" in event) || !("url" in event))
      return undefined;
    return event.event === "listening" && typeof event.url === "string" ? event.url : undefined;
  } catch {
    return undefined; // a line of log, not an event
  }
}

/** `UNDERPASS_BENCH_PROFILE=FOLDER` writes a CPU profile of each process there when it stops. */
function profiling([program = ""]: readonly string[]): string[] {
  const folder = process.env["UNDERPASS_BENCH_PROFILE"];
  return folder === undefined
    ? []
    : ["--cpu-prof", "--cpu-prof-dir", join(folder, program.replace(".ts", ""))];
}
