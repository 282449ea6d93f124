/**
 * `bun run bench`: measures the tunnel beside the origin itself and beside others that do the same job, in the same run
 * and in turn. Figures go to stdout when all is done, progress to stderr.
 */

import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { lineup, peers } from "./contenders/lineup.ts";
import { type Attendance, hold } from "./contest.ts";
import { describeMachine } from "./machine.ts";
import { findProgram } from "./peers/found.ts";
import { type Report, toMarkdown, toText } from "./report.ts";
import type { Result } from "./rounds.ts";
import { nearSite } from "./site.ts";
import { studies } from "./studies/catalogue.ts";
import { catalogue } from "./workloads/catalogue.ts";

const help = `bun run bench [switches]
  --only NAME         this workload, or all whose name begins with this; several times or with commas
  --peers NAME        whom to compare with (default: all that are installed; none: nobody); several times or with commas
  --rounds N          how often each workload is run through each contender (default 5)
  --seconds S         length of one measurement (default 4)
  --warm-up S         length of what is not counted, before the first round of a workload (default 3)
  --no-pin            let the load generator run on any core
  --json              one JSON object on stdout: machine, settings, every round's figures
  --markdown          Markdown on stdout
  --write FILE        also put the Markdown into FILE, between <!-- bench:begin --> and <!-- bench:end -->
  --list              names of workloads and peers
Peers are installed by: bun run bench:peers
Example: bun run bench --only http-10b,stream --peers bore,chisel --rounds 3`;

const { values } = parseArgs({
  allowNegative: true,
  options: {
    only: { type: "string", multiple: true, default: [] },
    peers: { type: "string", multiple: true, default: [] },
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "4" },
    "warm-up": { type: "string", default: "3" },
    pin: { type: "boolean", default: true },
    json: { type: "boolean", default: false },
    markdown: { type: "boolean", default: false },
    write: { type: "string" },
    list: { type: "boolean", default: false },
    help: { type: "boolean", short: "h", default: false },
  },
});

const log = (text: string): void => void process.stderr.write(`${text}\n`);
const words = (lists: readonly string[]): string[] =>
  lists.flatMap((list) => list.split(",")).filter((word) => word !== "");

function usage(fault: string): number {
  log(`${fault}\n\n${help}`);
  return 2;
}

async function main(): Promise<number> {
  if (values.help) {
    console.log(help);
    return 0;
  }
  if (values.list) {
    for (const { name, about } of [...catalogue(), ...studies, ...peers])
      console.log(`${name.padEnd(18)} ${about}`);
    return 0;
  }
  const only = words(values.only);
  const names = new Set([...catalogue(), ...studies].map(({ name }) => name));
  const isAsked = ({ name }: { readonly name: string }): boolean =>
    only.length === 0 || only.some((word) => (names.has(word) ? name === word : name.startsWith(word)));
  const workloads = catalogue().filter(isAsked);
  const chosenStudies = studies.filter(isAsked);
  if (workloads.length + chosenStudies.length === 0) return usage(`No workload begins with ${only}.`);
  const wanted = words(values.peers);
  const unknown = wanted.find((word) => word !== "none" && !peers.some(({ name }) => name === word));
  if (unknown !== undefined) return usage(`There is no peer '${unknown}'.`);
  const [rounds, seconds, warmUpSeconds] = [values.rounds, values.seconds, values["warm-up"]].map(Number);
  if (!(Number(rounds) >= 1) || !(Number(seconds) >= 1) || !(Number(warmUpSeconds) >= 1))
    return usage("--rounds, --seconds and --warm-up are numbers from 1 on.");
  const needed = { nginx: "the origin", wrk: "a load generator", iperf3: "an origin and a load generator" };
  for (const [program, role] of Object.entries(needed)) {
    if (findProgram(program) !== undefined) continue;
    log(`${program} is needed: it is ${role} (Debian: apt install ${program})`);
    return 1;
  }

  const contenders = lineup(peers.filter(({ name }) => wanted.length === 0 || wanted.includes(name)));
  const pin = values.pin && cpus().length > 1 && findProgram("taskset") !== undefined;
  const settings = {
    rounds: Number(rounds),
    seconds: Number(seconds),
    warmUpSeconds: Number(warmUpSeconds),
    generatorCore: pin ? cpus().length - 1 : undefined,
  };
  const machine = describeMachine();
  const attendance = new Map<string, Attendance>();
  const results: Result[] = [];
  const options = { ...settings, log, signal: interruption.signal };
  if (workloads.length > 0) {
    const outcome = await hold({ site: nearSite, contenders, workloads, options });
    for (const one of outcome.contenders) attendance.set(one.name, one);
    results.push(...outcome.results);
  }
  for (const study of chosenStudies) {
    const absent = await study.absent();
    if (absent !== undefined) {
      log(`${study.name} is left out: ${absent}`);
      continue;
    }
    const outcome = await study.run({ ...options, contenders });
    for (const one of outcome.contenders ?? []) if (!attendance.has(one.name)) attendance.set(one.name, one);
    results.push(...outcome.results);
  }

  const said = process.argv.slice(2).filter((word) => !/^--(json|markdown|write)/.test(word));
  const command = ["bun run bench", ...said.filter((word) => word !== values.write)].join(" ");
  const report: Report = { command, machine, settings, contenders: [...attendance.values()], results };
  if (values.write !== undefined) await write(values.write, toMarkdown(report));
  console.log(
    values.json ? JSON.stringify(report, null, 1) : values.markdown ? toMarkdown(report) : toText(report),
  );
  const failed = results.some(({ rows }) => rows.some(({ faults }) => faults.length > 0));
  return failed || report.contenders.some(({ broken }) => broken === true) ? 1 : 0;
}

async function write(file: string, markdown: string): Promise<void> {
  const [begin, end] = ["<!-- bench:begin -->", "<!-- bench:end -->"];
  const page = (await Bun.file(file).exists())
    ? await Bun.file(file).text()
    : `# Performance\n\n${begin}\n${end}\n`;
  const from = page.indexOf(begin);
  const to = page.indexOf(end);
  if (from < 0 || to < from) throw new Error(`${file} has no ${begin} and ${end}`);
  await Bun.write(file, `${page.slice(0, from)}${begin}\n${markdown}${page.slice(to)}`);
}

/** What was started is stopped in the usual way: within one measurement. */
const interruption = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interruption.abort());

try {
  process.exitCode = await main();
} catch (error) {
  if (!interruption.signal.aborted) throw error;
  process.exitCode = 130;
}
