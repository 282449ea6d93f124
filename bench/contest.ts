import type { Contender, Target, Way } from "./contenders/contender.ts";
import { startOrigins } from "./origins.ts";
import { type Entrant, playRounds, type Result, type RoundsOptions } from "./rounds.ts";
import type { Site } from "./site.ts";
import type { Workload } from "./workloads/workload.ts";

export interface Contest {
  readonly site: Site;
  readonly contenders: readonly Contender[];
  readonly workloads: readonly Workload[];
  readonly options: RoundsOptions;
}

/** Who was there. `absent`: why not; `broken`: it should have been. */
export interface Attendance {
  readonly name: string;
  readonly about: string;
  readonly absent?: string;
  readonly broken?: boolean;
}

export interface Outcome {
  readonly contenders: readonly Attendance[];
  readonly results: readonly Result[];
}

/** Starts the origins and all contenders that have a way for one of the workloads, runs all, and stops them. */
export async function hold({ site, contenders, workloads, options }: Contest): Promise<Outcome> {
  await using cleanup = new AsyncDisposableStack();
  const asked = [...new Set(workloads.map(({ way }) => way))];
  const ways = contenders.map((contender) => asked.filter((way) => contender.ways.includes(way)));
  const origins = await startOrigins(
    site,
    asked.filter((way) => way !== "stream"),
  );
  cleanup.defer(origins.stop);
  const attendance: Attendance[] = [];
  const entrants: Entrant[] = [];
  for (const [index, contender] of contenders.entries()) {
    const mine = ways[index] ?? [];
    if (mine.length === 0) continue;
    const { name, about } = contender;
    const absent = await contender.absent();
    const fault = absent === undefined ? await enter(contender, mine) : undefined;
    const missing = absent ?? fault;
    attendance.push({
      name,
      about,
      ...(missing === undefined ? {} : { absent: missing }),
      ...(fault === undefined ? {} : { broken: true }),
    });
    if (missing !== undefined) options.log(`${name} is left out: ${missing}`);
  }

  const results: Result[] = [];
  for (const workload of workloads) results.push(await playRounds(workload, entrants, options));
  return { contenders: attendance, results };

  /** Returns what is wrong with it, or undefined. */
  async function enter(contender: Contender, mine: readonly Way[]): Promise<string | undefined> {
    try {
      // iperf3 serves one visitor at a time: nobody should wait for what is still in another's tunnel.
      const own = await startOrigins(site, mine.includes("stream") ? ["stream"] : []);
      cleanup.defer(own.stop);
      const mixed = { ...origins, of: (way: Way) => (way === "stream" ? own : origins).of(way) };
      const running = await contender.start({ site, origins: mixed, ways: mine });
      cleanup.defer(() => running.stop());
      for (const way of mine) {
        const target = running.targets[way];
        if (target === undefined) throw new Error(`no ${way}`);
        await check(way, target);
      }
      entrants.push({ contender, running });
      return undefined;
    } catch (error) {
      return `it does not work: ${error}`;
    }
  }
}

/** Before any figure: it answers rightly. Of `chat` and `stream` their own generators find that out. */
async function check(way: Way, target: Target): Promise<void> {
  if (way === "web" || way === "tcp") {
    const small = await request(target, "GET", "/10b");
    const large = await request(target, "GET", "/1mb");
    if (small !== "0123456789" || large.length !== 1_000_000)
      throw new Error(`wrong answers: ${JSON.stringify([small.slice(0, 200), large.length])}`);
  }
  if (way === "sink") {
    const count = await request(target, "POST", "/upload", new Uint8Array(3_000_000));
    if (count !== "3000000\n") throw new Error(`wrong count: ${count.slice(0, 200)}`);
  }
}

async function request(
  { host, port, authority }: Target,
  method: string,
  path: string,
  body?: Uint8Array<ArrayBuffer>,
): Promise<string> {
  const init = { method, headers: { host: authority }, ...(body === undefined ? {} : { body }) };
  return (await fetch(`http://${host}:${port}${path}`, init)).text();
}
