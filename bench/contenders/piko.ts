import { absentWithout, findProgram } from "../peers/found.ts";
import { accepts, freePorts } from "../ports.ts";
import type { Contender } from "./contender.ts";
import { Crew } from "./crew.ts";
import { targetsOf } from "./targets.ts";

export const piko: Contender = {
  name: "piko",
  about: "piko (Go): HTTP by host, all streams in one WebSocket (yamux); access logs off, no encryption",
  ways: ["web", "sink", "chat"],
  absent: () => absentWithout("piko"),
  async start({ site, origins, ways }) {
    const crew = await Crew.gather("piko");
    try {
      const program = findProgram("piko") ?? "piko";
      const [proxy = 0, upstream = 0, admin = 0, gossip = 0] = await freePorts(4);
      const relay = crew.start([
        ...[program, "server", "--log.level", "error", "--proxy.access-log=false"],
        ...["--proxy.bind-addr", `127.0.0.1:${proxy}`],
        ...["--upstream.bind-addr", `${site.publicHost}:${upstream}`],
        ...["--admin.bind-addr", `127.0.0.1:${admin}`, "--cluster.gossip.bind-addr", `127.0.0.1:${gossip}`],
      ]);
      await accepts(site.publicHost, upstream, relay);
      await accepts("127.0.0.1", proxy, relay);
      const targets = await targetsOf(ways, async (way) => {
        const agent = crew.start(
          site.privately([
            ...[program, "agent", "http", way, `127.0.0.1:${origins.of(way).port}`],
            ...["--access-log=false", "--log.level", "error", "--server.bind-addr", "127.0.0.1:0"],
            ...["--connect.url", `http://${site.publicHost}:${upstream}`],
          ]),
        );
        const target = {
          host: "127.0.0.1",
          port: proxy,
          authority: `${way}.localhost`,
          processes: [
            { role: "relay", pid: relay.pid },
            { role: "agent", pid: agent.pid },
          ],
        };
        await answers(target.port, target.authority, agent.name);
        return target;
      });
      return { targets, stop: () => crew.stop() };
    } catch (error) {
      await crew.stop();
      throw error;
    }
  },
};

const answerPollMs = 50;
const answerPolls = 200;

/** piko's agent says nothing of being connected: until then its server answers 502. */
async function answers(port: number, authority: string, name: string): Promise<void> {
  for (let poll = 0; poll < answerPolls; poll++) {
    // A request that each of the origins answers with something.
    const request = { method: "POST", body: "", headers: { host: authority } };
    const { status } = await fetch(`http://127.0.0.1:${port}/`, request);
    if (status < 500) return;
    await Bun.sleep(answerPollMs);
  }
  throw new Error(`${name} serves nothing`);
}
