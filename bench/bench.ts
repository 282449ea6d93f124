/**
 * `bun run bench`: measures the tunnel beside the origin itself and beside two nginx in a row, in the same run and in
 * turn. Figures go to stdout when all is done, progress to stderr.
 */

import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { installed } from "./child.ts";
import type { Target } from "./contenders/contender.ts";
import { lineup } from "./contenders/lineup.ts";
import { describeMachine } from "./machine.ts";
import { startOrigins } from "./origins.ts";
import { type Report, toMarkdown, toText } from "./report.ts";
import { type Entrant, playRounds, type Result } from "./rounds.ts";
import { catalogue } from "./workloads/catalogue.ts";

const help = `bun run bench [switches]
  --only NAME         workloads whose name begins with this; several times or with commas
  --contenders NAME   who takes part (default: all); several times or with commas
  --rounds N          how often each workload is run through each contender (default 5)
  --seconds S         length of one measurement (default 4)
  --no-pin            let the load generator run on any core
  --json              one JSON object on stdout: machine, settings, every round's figures
  --markdown          Markdown on stdout
  --write FILE        also put the Markdown into FILE, between <!-- bench:begin --> and <!-- bench:end -->
  --list              names of workloads and contenders
Example: bun run bench --only http-10b,bulk --rounds 3`;

const { values } = parseArgs({
  allowNegative: true,
  options: {
    only: { type: "string", multiple: true, default: [] },
    contenders: { type: "string", multiple: true, default: [] },
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "4" },
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

async function main(): Promise<number> {
  if (values.help) {
    console.log(help);
    return 0;
  }
  if (values.list) {
    for (const { name, about } of [...catalogue(), ...lineup]) console.log(`${name.padEnd(14)} ${about}`);
    return 0;
  }
  const only = words(values.only);
  const wanted = words(values.contenders);
  const workloads = catalogue().filter(
    ({ name }) => only.length === 0 || only.some((word) => name.startsWith(word)),
  );
  const asked = lineup.filter(({ name }) => wanted.length === 0 || wanted.includes(name));
  const rounds = Number(values.rounds);
  const seconds = Number(values.seconds);
  if (workloads.length === 0 || asked.length === 0 || !(rounds >= 1) || !(seconds >= 1)) {
    log(help);
    return 2;
  }
  for (const program of ["nginx", "wrk"]) {
    if (await installed(program)) continue;
    log(
      `${program} is needed: it is the ${program === "nginx" ? "origin" : "load generator"} (Debian: apt install ${program})`,
    );
    return 1;
  }
  const machine = describeMachine();
  const pin = values.pin && cpus().length > 1 && (await installed("taskset"));
  const settings = { rounds, seconds, generatorCore: pin ? cpus().length - 1 : undefined };

  const contenders: { name: string; about: string; absent?: string }[] = [];
  const results: Result[] = [];
  const stops: (() => Promise<void>)[] = [];
  let broken = false;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, async () => {
      for (const stop of stops.toReversed()) await stop();
      process.exit(130);
    });
  }
  try {
    const origins = await startOrigins();
    stops.push(origins.stop);
    const entrants: Entrant[] = [];
    for (const contender of asked) {
      const { name, about } = contender;
      let absent = await contender.absent();
      if (absent === undefined) {
        try {
          const running = await contender.start(origins);
          stops.push(running.stop);
          await check(running.web, running.sink);
          entrants.push({ contender, running });
        } catch (error) {
          absent = `it does not work: ${error}`;
          broken = true;
        }
      }
      contenders.push({ name, about, ...(absent === undefined ? {} : { absent }) });
      if (absent !== undefined) log(`${name} is left out: ${absent}`);
    }
    for (const workload of workloads)
      results.push(await playRounds(workload, entrants, { ...settings, log }));
  } finally {
    for (const stop of stops.toReversed()) await stop();
  }

  const command = [
    "bun run bench",
    ...process.argv
      .slice(2)
      .filter((word) => !/^--(json|markdown|write)/.test(word) && word !== values.write),
  ].join(" ");
  const report: Report = { command, machine, settings, contenders, results };
  if (values.write !== undefined) await write(values.write, toMarkdown(report));
  console.log(
    values.json ? JSON.stringify(report, null, 1) : values.markdown ? toMarkdown(report) : toText(report),
  );
  return broken || results.some(({ rows }) => rows.some(({ faults }) => faults.length > 0)) ? 1 : 0;
}

/** Before any figure: both ways answer rightly. */
async function check(web: Target, sink: Target): Promise<void> {
  const small = await request(web, "GET", "/10b");
  const large = await request(web, "GET", "/1mb");
  const count = await request(sink, "POST", "/upload", new Uint8Array(3_000_000));
  if (small !== "0123456789" || large.length !== 1_000_000 || count !== "3000000\n") {
    const seen = [small.slice(0, 200), large.length, count.slice(0, 200)];
    throw new Error(`wrong answers: ${JSON.stringify(seen)}`);
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

process.exitCode = await main();
