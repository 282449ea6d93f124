import { freeRow } from "../ports.ts";
import type { Contender, Course, Targets, Way } from "./contender.ts";
import { Crew } from "./crew.ts";
import { idleTunnels as startIdle } from "./idle-tunnels.ts";
import { startAgent, startRelay } from "./relay.ts";
import { targetsOf } from "./targets.ts";

/** Relay and agents as anyone would start them, each in a process of its own; one agent for each way. */
export const underpass: Contender = contender({
  name: "underpass",
  about:
    "`bun relay.ts` and `bun agent.ts`, separate processes, routing by host; bytes by tunnels of kind tcp",
  idleTunnels: 0,
});

/** The same beside tunnels that nobody visits. */
export const underpassAmong = (idleTunnels: number): Contender =>
  contender({
    name: `names-${idleTunnels}`,
    about: `the same relay and agent while ${idleTunnels.toLocaleString("en")} other tunnels are idle`,
    idleTunnels,
  });

interface Variant {
  readonly name: string;
  readonly about: string;
  readonly idleTunnels: number;
}

function contender({ name, about, idleTunnels }: Variant): Contender {
  return {
    name,
    about,
    ways: ["web", "sink", "chat", "tcp", "stream"],
    absent: async () => undefined,
    async start(course) {
      const crew = await Crew.gather("relay");
      try {
        return { targets: await open(crew, course, idleTunnels), stop: () => crew.stop() };
      } catch (error) {
        await crew.stop();
        throw error;
      }
    },
  };
}

async function open(crew: Crew, { site, origins, ways }: Course, idleTunnels: number): Promise<Targets> {
  const bytes = ways.filter((way) => kindOf(way) === "tcp");
  const firstPort = bytes.length === 0 ? 0 : await freeRow(bytes.length);
  const tcpPorts = `127.0.0.1:${firstPort}-${firstPort + bytes.length - 1}`;
  const relay = await startRelay(crew, site, bytes.length === 0 ? [] : ["--tcp-ports", tcpPorts]);
  if (idleTunnels > 0) await startIdle(crew, relay, { by: "agent" })(idleTunnels);
  return targetsOf(ways, async (way) => {
    const publicPort = firstPort + bytes.indexOf(way);
    const agent = await startAgent(crew, site, relay, [
      ...[kindOf(way), String(origins.of(way).port), "--name", way],
      ...(kindOf(way) === "tcp" ? ["--remote-port", String(publicPort)] : []),
    ]);
    return {
      host: kindOf(way) === "tcp" ? "127.0.0.1" : site.publicHost,
      port: kindOf(way) === "tcp" ? publicPort : relay.port,
      authority: `${way}.localhost`,
      processes: [
        { role: "relay", pid: relay.child.pid },
        { role: "agent", pid: agent.pid },
      ],
    };
  });
}

const kindOf = (way: Way): "http" | "tcp" => (way === "tcp" || way === "stream" ? "tcp" : "http");
