import { describe, expect, test } from "bun:test";
import { configChanges } from "../../agent/config/changes.ts";
import { leaveGraceMs } from "../../agent/fleet/fleet.ts";
import { UnderpassError } from "../../shared/errors.ts";
import { FleetBench, file, tunnels, turn } from "./fleet-bench.ts";

const none = { added: [], removed: [], changed: [], same: [], renamed: [] };

describe("configChanges", () => {
  test("sees nothing where the same is said in other words", () => {
    const one = tunnels("web: {http: 8080, origin-dial-timeout: 90s}", "db: {tcp: 5432}");
    const other = tunnels('db: {tcp: "5432", name: db}', "web: {origin-dial-timeout: 1m30s, http: 8080}");
    expect(configChanges(one, other)).toEqual({ ...none, same: ["db", "web"] });
  });

  test("tells what was added, removed and changed", () => {
    const one = tunnels("web: {http: 1}", "api: {http: 2}", "db: {tcp: 3}");
    const other = tunnels("web: {http: 1}", "api: {http: 9}", "dns: {udp: 4}");
    expect(configChanges(one, other)).toEqual({
      ...none,
      ...{ same: ["web"], changed: ["api"], added: ["dns"], removed: ["db"] },
    });
  });

  test("takes an entry of another key but the same tunnel for renamed", () => {
    const one = tunnels("web: {http: 1, name: blue}", "any: {http: 2, random-name: true}");
    const other = tunnels("site: {http: 1, name: blue}", "other: {http: 2, random-name: true}");
    expect(configChanges(one, other)).toEqual({
      ...none,
      ...{ renamed: [{ from: "web", to: "site" }], added: ["other"], removed: ["any"] },
    });
  });

  test("a new relay or switch for all changes all, save what needs no relay", () => {
    const text = (relay: string) =>
      `relay: ${relay}\ntunnels: {web: {http: 1}}\nforward: {plain: {listen: 127.0.0.1:1, to: 80}}`;
    const changes = configChanges(file(text("https://one.example")), file(text("https://two.example")));
    expect(changes).toEqual({ ...none, changed: ["web"], same: ["plain"] });
  });
});

describe("a fleet", () => {
  test("tells of each event whose it is", async () => {
    const bench = new FleetBench(tunnels("web: {http: 1}", "two: {http: 2, name: blue}"));
    bench.fleet.start();
    await turn();
    const [web, two] = bench.runs;
    expect(web?.started).toBe(true);
    two?.tell({ event: "link", link: 0, state: "up", attempt: 0, delayMs: 0 });
    web?.ready();
    const request = { event: "request", method: "GET", path: "/", status: 200 } as const;
    two?.tell({ ...request, ms: 1, bytesIn: 0, bytesOut: 2 });
    expect(bench.events).toMatchObject([
      { event: "link", entry: "two", name: "blue" },
      { event: "ready", entry: "web", name: "web" },
      { event: "request", entry: "two", name: "blue" },
    ]);
  });

  test("calls a tunnel of a random name by its key until it has one", async () => {
    const bench = new FleetBench(tunnels("any: {http: 1, random-name: true}"));
    bench.fleet.start();
    await turn();
    const [run] = bench.runs;
    run?.tell({ event: "link", link: 0, state: "lost", attempt: 1, delayMs: 5 });
    run?.ready("lucky-otter");
    run?.tell({ event: "link", link: 0, state: "lost", attempt: 1, delayMs: 5 });
    expect(bench.events.map((event) => "name" in event && event.name)).toEqual([
      ...["any", "lucky-otter", "lucky-otter"],
    ]);
  });

  test("goes on without the one that failed, and ends with the last one's reason", async () => {
    const bench = await FleetBench.ready(tunnels("web: {http: 1}", "api: {http: 2}"));
    const ended: unknown[] = [];
    void bench.fleet.ended.then((reason) => ended.push(reason?.code));
    const [web, api] = bench.runs;
    web?.fail("name-taken");
    await turn();
    expect(bench.events).toMatchObject([{ event: "error", entry: "web", fatal: true }]);
    expect(ended).toEqual([]);
    expect(api?.graceMs).toBeUndefined();
    api?.fail("unauthorized");
    await turn();
    expect(ended).toEqual(["unauthorized"]);
  });

  test("ends only when the exchanges of the last one that failed have", async () => {
    const bench = await FleetBench.ready(tunnels("web: {http: 1}"));
    let ended = false;
    void bench.fleet.ended.then(() => {
      ended = true;
    });
    const [web] = bench.runs;
    if (web) web.openStreams = 1;
    web?.fail("superseded");
    await turn();
    expect(ended).toBe(false);
    expect(bench.fleet.openStreams).toBe(1);
    web?.finish();
    await turn();
    expect(ended).toBe(true);
  });

  test("one that can't be put together ends alone, and is told", async () => {
    const bench = new FleetBench(tunnels("web: {http: 1}", "api: {http: 2}"));
    bench.refuse = new UnderpassError("port-in-use");
    bench.fleet.start();
    await turn();
    expect(bench.events).toMatchObject([{ event: "error", code: "port-in-use", entry: "web", fatal: true }]);
    expect(bench.runs.map(({ command }) => command)).toMatchObject([{ tunnel: { name: "api" } }]);
  });

  test("stop ends all, with the grace that is given", async () => {
    const bench = await FleetBench.ready(tunnels("web: {http: 1}", "api: {http: 2}"));
    await bench.fleet.stop(5_000);
    expect(bench.runs.map(({ graceMs }) => graceMs)).toEqual([5_000, 5_000]);
    expect(await bench.fleet.ended).toBeUndefined();
  });
});

describe("a file that was read again", () => {
  test("leaves alone what did not change", async () => {
    const bench = await FleetBench.ready(tunnels("web: {http: 1}", "api: {http: 2}"));
    const fresh = await bench.apply(tunnels("api: {http: 2, join: false}", "web: {http: 1}"));
    expect(fresh).toEqual([]);
    expect(bench.events).toEqual([{ event: "reload", added: [], removed: [], changed: [] }]);
    expect(bench.runs.map(({ graceMs }) => graceMs)).toEqual([undefined, undefined]);
  });

  test("starts what was added, stops what was removed, with a grace for its exchanges", async () => {
    const bench = await FleetBench.ready(tunnels("web: {http: 1}", "api: {http: 2}"));
    const [web] = bench.runs;
    if (web) web.openStreams = 1;
    const [db] = await bench.apply(tunnels("api: {http: 2}", "db: {tcp: 3}"));
    expect(bench.events).toEqual([{ event: "reload", added: ["db"], removed: ["web"], changed: [] }]);
    expect(db?.started).toBe(true);
    expect(web?.graceMs).toBe(leaveGraceMs);
    expect(bench.fleet.openStreams).toBe(1);
    web?.finish();
    await turn();
    expect(bench.fleet.openStreams).toBe(0);
  });

  test("lets a tunnel that changed go on until its next is ready", async () => {
    const bench = await FleetBench.ready(tunnels("web: {http: 1}"));
    const [old] = bench.runs;
    const [next] = await bench.apply(tunnels("web: {http: 2}"));
    expect(old?.graceMs).toBeUndefined();
    next?.ready();
    expect(old?.graceMs).toBe(leaveGraceMs);
  });

  test("does not tell that the next took the name over from what it replaces", async () => {
    const bench = await FleetBench.ready(tunnels("web: {http: 1}"));
    const [old] = bench.runs;
    const [next] = await bench.apply(tunnels("web: {http: 2}"));
    old?.fail("superseded");
    await turn();
    next?.ready();
    old?.tell({ event: "link", link: 0, state: "lost", attempt: 1, delayMs: 0 });
    expect(bench.events.map(({ event }) => event)).toEqual(["reload", "ready"]);
  });

  test("tells the exchanges that end at the run that was replaced", async () => {
    const bench = await FleetBench.ready(tunnels("web: {http: 1}"));
    const [old] = bench.runs;
    if (old) old.openStreams = 1;
    const [next] = await bench.apply(tunnels("web: {http: 2}"));
    next?.ready();
    old?.tell({ event: "request", method: "GET", path: "/", status: 200, ms: 1, bytesIn: 0, bytesOut: 2 });
    expect(bench.events.at(-1)).toMatchObject({ event: "request", entry: "web" });
  });

  test("keeps what serves when the next is refused for good, and tries again at the next reading", async () => {
    const bench = await FleetBench.ready(tunnels("web: {http: 1}"));
    const changed = tunnels("web: {http: 1, name: taken}");
    const [next] = await bench.apply(changed);
    next?.fail("name-taken");
    await turn();
    expect(bench.events.at(-1)).toMatchObject({ event: "error", code: "name-taken", fatal: false });
    expect(bench.runs[0]?.graceMs).toBeUndefined();
    const [again] = await bench.apply(changed);
    again?.ready();
    expect(bench.runs[0]?.graceMs).toBe(leaveGraceMs);
  });

  test("does not begin anew what is under way to the same already", async () => {
    const bench = await FleetBench.ready(tunnels("web: {http: 1}"));
    const changed = tunnels("web: {http: 2}");
    expect(await bench.apply(changed)).toHaveLength(1);
    expect(await bench.apply(changed)).toHaveLength(0);
  });

  test("takes a change back that never got ready", async () => {
    const before = tunnels("web: {http: 1}");
    const bench = await FleetBench.ready(before);
    const [next] = await bench.apply(tunnels("web: {http: 2}"));
    expect(await bench.apply(before)).toHaveLength(0);
    expect(next?.graceMs).toBe(0);
    expect(bench.runs[0]?.graceMs).toBeUndefined();
  });

  test("of two changes in a row only the second comes to serve", async () => {
    const bench = await FleetBench.ready(tunnels("web: {http: 1}"));
    const [second] = await bench.apply(tunnels("web: {http: 2}"));
    const [third] = await bench.apply(tunnels("web: {http: 3}"));
    expect(second?.graceMs).toBe(0);
    third?.ready();
    expect(bench.runs[0]?.graceMs).toBe(leaveGraceMs);
  });

  test("begins again what had failed, changed or not, while exchanges of before go on", async () => {
    const commands = tunnels("web: {http: 1}", "api: {http: 2}");
    const bench = await FleetBench.ready(commands);
    if (bench.runs[0]) bench.runs[0].openStreams = 1;
    bench.runs[0]?.fail("unauthorized");
    await turn();
    const [again] = await bench.apply(commands);
    expect(again?.command).toMatchObject({ tunnel: { name: "web" } });
    expect(bench.events.at(-1)).toMatchObject({ event: "reload", added: ["web"] });
  });

  test("hands a tunnel on to its new key without a gap", async () => {
    const bench = await FleetBench.ready(tunnels("web: {http: 1, name: blue}"));
    expect(await bench.apply(tunnels("site: {http: 1, name: blue}"))).toEqual([]);
    bench.runs[0]?.ready();
    expect(bench.events.at(-1)).toMatchObject({ event: "ready", entry: "site", name: "blue" });
  });

  test("a tunnel of a random name keeps it through a change", async () => {
    const bench = new FleetBench(tunnels("any: {http: 1, random-name: true}"));
    bench.fleet.start();
    await turn();
    bench.runs[0]?.ready("lucky-otter");
    const changed = tunnels("any: {http: 2, random-name: true}");
    const [next] = await bench.apply(changed);
    expect(next?.command).toMatchObject({ tunnel: { name: "lucky-otter" } });
    next?.ready();
    expect(await bench.apply(changed)).toEqual([]);
  });

  test("lets go of a local port before something else listens there", async () => {
    const listens = (to: number) => file(`forward: {plain: {listen: 127.0.0.1:5000, to: ${to}}}`);
    const bench = await FleetBench.ready(listens(80));
    const [next] = await bench.apply(listens(81));
    expect(bench.runs[0]?.graceMs).toBe(leaveGraceMs);
    expect(next?.started).toBe(true);
  });

  test("after stop nothing is begun, and a run that had more time gets no more than the rest", async () => {
    const bench = await FleetBench.ready(tunnels("web: {http: 1}", "api: {http: 2}"));
    const [web] = bench.runs;
    if (web) web.openStreams = 1;
    await bench.apply(tunnels("api: {http: 2}"));
    const stopped = bench.fleet.stop(5_000);
    expect(await bench.apply(tunnels("new: {http: 3}"))).toEqual([]);
    bench.clock.advance(4_999);
    expect(web?.abandoned).toBe(false);
    bench.clock.advance(1);
    expect(web?.abandoned).toBe(true);
    await stopped;
  });
});
