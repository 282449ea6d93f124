import { afterEach, expect, test } from "bun:test";
import { Child } from "../../bench/child.ts";
import type { Contender, Target } from "../../bench/contenders/contender.ts";
import { familyOf, startMeter } from "../../bench/meter.ts";
import { toText } from "../../bench/report.ts";
import { type Entrant, playRounds } from "../../bench/rounds.ts";
import { readOha } from "../../bench/workloads/generators.ts";
import { received } from "../../bench/workloads/stream.ts";
import type { Workload } from "../../bench/workloads/workload.ts";

const children: Child[] = [];
afterEach(async () => {
  for (const child of children.splice(0)) await child.stop();
});

const options = {
  rounds: 2,
  seconds: 1,
  warmUpSeconds: 1,
  generatorCore: undefined,
  signal: new AbortController().signal,
  log: () => {},
};

/** Its port is its speed, and how the workload knows it. */
function entrant(name: string, port: number, way: "web" | "tcp" = "web"): Entrant {
  const contender: Contender = {
    name,
    about: name,
    ways: [way],
    absent: async () => undefined,
    start: () => Promise.reject(new Error("it runs already")),
  };
  const target: Target = { host: "127.0.0.1", port, authority: name, processes: [] };
  return { contender, running: { targets: { [way]: target }, stop: async () => {} } };
}

function workload(measured: string[], fails = ""): Workload {
  return {
    name: "requests",
    about: "requests",
    way: "web",
    workUnit: "request",
    metrics: [{ name: "rate", unit: "requests/s", better: "more" }],
    async measure({ authority, port }) {
      measured.push(authority);
      if (authority === fails) throw new Error("wrong answer");
      return { values: { rate: port }, work: 1 };
    },
  };
}

test("contenders run in turn, every second round backwards, and one without the way sits out", async () => {
  const measured: string[] = [];
  const entrants = [entrant("direct", 100), entrant("bore", 40, "tcp"), entrant("underpass", 50)];
  const { rows } = await playRounds(workload(measured), entrants, options);
  const [warmUp, first, second] = [measured.slice(0, 2), measured.slice(2, 4), measured.slice(4)];
  expect(warmUp).toEqual(["direct", "underpass"]);
  expect(first).toEqual(["direct", "underpass"]);
  expect(second).toEqual(["underpass", "direct"]);
  expect(rows.map(({ contender }) => contender)).toEqual(["direct", "underpass"]);
  expect(rows[1]?.ratios["direct"]).toEqual({ median: 0.5, low: 0.5, high: 0.5, values: [0.5, 0.5] });
});

test("a contender that answers wrongly has no figure, and the report says why", async () => {
  const entrants = [entrant("direct", 100), entrant("piko", 70), entrant("underpass", 50)];
  const result = await playRounds(workload([], "piko"), entrants, options);
  expect(result.rows[1]?.metrics).toEqual({});
  expect(result.rows[2]?.ratios).not.toHaveProperty("piko");
  const machine = { cpu: "", cores: 2, memoryGiB: 1, system: "", commit: "", date: "", loadBefore: 0 };
  const report = toText({
    command: "",
    machine: { ...machine, programs: {} },
    settings: options,
    contenders: [],
    results: [result],
  });
  expect(report).toContain("piko: 2 failed: Error: wrong answer");
  expect(report).toContain("underpass: 0.5 (0.5 to 0.5) x direct");
});

test("a run that was interrupted ends before its next measurement", async () => {
  const abort = new AbortController();
  const measured: string[] = [];
  const run = playRounds(workload(measured), [entrant("direct", 1)], {
    ...options,
    signal: abort.signal,
    log: () => abort.abort(),
  });
  await expect(run).rejects.toThrow();
  expect(measured).toEqual(["direct", "direct"]);
});

test.if(process.platform === "linux")("what a process has started is counted with it", async () => {
  const burn = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo burnt; sleep 60";
  const shell = new Child({ command: ["sh", "-c", `sh -c '${burn}' & wait`] });
  children.push(shell);
  const processes = [{ role: "relay", pid: shell.pid }];
  const read = startMeter({ host: "", port: 0, authority: "", processes });
  await shell.line((line) => (line === "burnt" ? line : undefined));
  const family = familyOf(shell.pid);
  expect(family.length).toBeGreaterThanOrEqual(2);
  expect(read()[0]?.cpuSeconds).toBeGreaterThan(0);
  // The grandchild outlives a shell that is told to end.
  for (const pid of family.slice(1).toReversed()) process.kill(pid);
});

test("of iperf3 what arrived counts, both ways together", () => {
  const way = (bytes: number) => ({ bytes, seconds: 2 });
  const end = { sum_sent: way(9), sum_received: way(5), sum_received_bidir_reverse: way(3) };
  expect(received(JSON.stringify({ end }))).toEqual({ bytes: 8, seconds: 2 });
  expect(() => received(JSON.stringify({ error: "the server is busy", end: {} }))).toThrow("busy");
  expect(() => received(JSON.stringify({ end: {} }))).toThrow("nothing arrived");
});

test("of oha nothing counts when answers are missing or wrong", () => {
  const answer = (status: string, count: number): string =>
    JSON.stringify({
      latencyPercentiles: { p50: 0.001, p99: 0.002, "p99.9": 0.003 },
      statusCodeDistribution: { [status]: count },
    });
  expect(readOha(answer("200", 995), 1_000)).toMatchObject({ answered: 995, p50Ms: 1, p99Ms: 2, p999Ms: 3 });
  expect(() => readOha(answer("200", 900), 1_000)).toThrow("900 of 1000 requests were answered");
  expect(() => readOha(answer("502", 1_000), 1_000)).toThrow("0 of 1000");
});
