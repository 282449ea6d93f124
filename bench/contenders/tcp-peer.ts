import type { Child } from "../child.ts";
import { absentWithout, findProgram } from "../peers/found.ts";
import { accepts, freePorts } from "../ports.ts";
import type { Site } from "../site.ts";
import type { Contender, Way } from "./contender.ts";
import { Crew } from "./crew.ts";
import { targetsOf } from "./targets.ts";

/** A port on the public side that leads to an origin on the private one. */
export interface Forward {
  readonly name: string;
  /** On loopback, where visitors are. */
  readonly publicPort: number;
  /** On the private side's loopback. */
  readonly originPort: number;
}

export interface TcpPeer {
  readonly name: string;
  readonly about: string;
  /** What must be installed; `program` finds them. */
  readonly needs: readonly string[];
  /** Starts the public side and the private one with these forwards, and returns who does the work. */
  open(ground: Ground): Promise<readonly Worker[]>;
}

export interface Worker {
  readonly role: string;
  readonly child: Child;
  /** The only one that it works for, by its name; absent: all. */
  readonly forward?: string;
}

export interface Ground {
  readonly crew: Crew;
  readonly site: Site;
  readonly forwards: readonly Forward[];
  /** Free, for the peer's own link. */
  readonly linkPort: number;
  program(name: string): string;
}

const waysOfBytes: readonly Way[] = ["tcp", "stream"];

/** A contender that carries bytes from a port to an origin, and knows nothing of what they are. */
export function tcpPeer({ name, about, needs, open }: TcpPeer): Contender {
  return {
    name,
    about,
    ways: waysOfBytes,
    absent: () => absentWithout(...needs),
    async start({ site, origins, ways }) {
      const crew = await Crew.gather(name);
      try {
        const [linkPort = 0, ...ports] = await freePorts(1 + ways.length);
        const forwards = ways.map((way, index) => ({
          name: way,
          publicPort: ports[index] ?? 0,
          originPort: origins.of(way).port,
        }));
        const program = (wanted: string): string => findProgram(wanted) ?? wanted;
        const workers = await open({ crew, site, forwards, linkPort, program });
        const first = workers[0]?.child;
        if (first === undefined) throw new Error(`${name} has no process`);
        for (const { publicPort } of forwards) await accepts("127.0.0.1", publicPort, first);
        const targets = await targetsOf(ways, async (way) => {
          const port = forwards.find((forward) => forward.name === way)?.publicPort ?? 0;
          const processes = workers
            .filter(({ forward = way }) => forward === way)
            .map(({ role, child }) => ({ role, pid: child.pid }));
          return { host: "127.0.0.1", port, authority: `127.0.0.1:${port}`, processes };
        });
        return { targets, stop: () => crew.stop() };
      } catch (error) {
        await crew.stop();
        throw error;
      }
    },
  };
}
