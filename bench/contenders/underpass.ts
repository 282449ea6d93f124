import { join } from "node:path";
import type { Child } from "../child.ts";
import { freeRow } from "../ports.ts";
import type { Contender, Course, Targets, Way } from "./contender.ts";
import { Crew } from "./crew.ts";
import { targetsOf } from "./targets.ts";

const root = join(import.meta.dir, "../..");

/** Relay and agents as anyone would start them, each in a process of its own; one agent for each way. */
export const underpass: Contender = {
  name: "underpass",
  about:
    "`bun relay.ts` and `bun agent.ts`, separate processes, routing by host; tcp and stream: tunnels of kind tcp",
  ways: ["web", "sink", "chat", "tcp", "stream"],
  absent: async () => undefined,
  async start(course) {
    const crew = await Crew.gather("relay");
    try {
      return { targets: await open(crew, course), stop: () => crew.stop() };
    } catch (error) {
      await crew.stop();
      throw error;
    }
  },
};

async function open(crew: Crew, { site, origins, ways }: Course): Promise<Targets> {
  const data = ["--data", crew.folder];
  const ours = (...args: string[]): string[] => [process.execPath, ...profiling(args), ...args];
  const token = await crew
    .start(ours("relay.ts", "token", "--sub", "bench", ...data), { cwd: root })
    .output();
  const tokenFile = await crew.file("bench.token", token);

  const bytes = ways.filter((way) => kindOf(way) === "tcp");
  const firstPort = bytes.length === 0 ? 0 : await freeRow(bytes.length);
  const tcpPorts = `127.0.0.1:${firstPort}-${firstPort + bytes.length - 1}`;
  const relay = crew.start(
    ours(
      ...["relay.ts", "--listen", `${site.publicHost}:0`, "--domain", "localhost", ...data],
      ...(bytes.length === 0 ? [] : ["--tcp-ports", tcpPorts]),
      // nginx runs with access_log off, too.
      ...["--quiet", "--json"],
    ),
    { cwd: root, dropStderr: true },
  );
  const port = await relay.line(listeningPort);

  return targetsOf(ways, async (way) => {
    const publicPort = firstPort + bytes.indexOf(way);
    const agent = crew.start(
      site.privately(
        ours(
          ...["agent.ts", kindOf(way), String(origins.of(way).port), "--name", way, "--quiet"],
          ...["--relay", `http://${site.publicHost}:${port}`, "--token-file", tokenFile],
          ...(site.publicHost === "127.0.0.1" ? [] : ["--insecure"]),
          ...(kindOf(way) === "tcp" ? ["--remote-port", String(publicPort)] : []),
        ),
      ),
      { cwd: root },
    );
    await untilReady(agent);
    return {
      host: kindOf(way) === "tcp" ? "127.0.0.1" : site.publicHost,
      port: kindOf(way) === "tcp" ? publicPort : port,
      authority: `${way}.localhost`,
      processes: [
        { role: "relay", pid: relay.pid },
        { role: "agent", pid: agent.pid },
      ],
    };
  });
}

const kindOf = (way: Way): "http" | "tcp" => (way === "tcp" || way === "stream" ? "tcp" : "http");

/** The screen shows the public address when there is one. */
async function untilReady(agent: Child): Promise<void> {
  await agent.line((line) => (line.includes("://") ? line : undefined));
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

/** `UNDERPASS_BENCH_PROFILE=FOLDER` writes a CPU profile of each process there when it stops. */
function profiling([program = ""]: readonly string[]): string[] {
  const folder = process.env["UNDERPASS_BENCH_PROFILE"];
  return folder === undefined
    ? []
    : ["--cpu-prof", "--cpu-prof-dir", join(folder, program.replace(".ts", ""))];
}
