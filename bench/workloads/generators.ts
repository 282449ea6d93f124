import { join } from "node:path";
import { Child } from "../child.ts";
import type { Target } from "../contenders/contender.ts";
import { findProgram } from "../peers/found.ts";
import type { BulkOptions, BulkResult } from "../programs/bulk.ts";
import type { FirstBytesOptions, FirstBytesResult } from "../programs/first-bytes.ts";
import type { MessagesOptions, MessagesResult } from "../programs/messages.ts";
import type { PacedOptions, PacedResult } from "../programs/paced-requests.ts";
import type { Settings } from "./workload.ts";

export interface SaturationResult {
  readonly requests: number;
  readonly us: number;
  readonly bytes: number;
  readonly failed: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

const programs = join(import.meta.dir, "../programs");

/** wrk: as many requests as get through, each socket asking again as soon as it has its answer. */
export async function saturate(
  target: Target,
  load: { readonly path: string; readonly sockets: number; readonly once?: boolean },
  { seconds, generatorCore }: Settings,
): Promise<SaturationResult> {
  const wrk = new Child({
    command: [
      "wrk",
      ...["-t1", `-c${load.sockets}`, `-d${Math.max(1, Math.round(seconds))}s`, "--timeout", "20s"],
      ...["-H", `Host: ${target.authority}`, "-s", join(programs, "wrk-report.lua")],
      ...(load.once === true ? ["-H", "Connection: close"] : []),
      `http://${target.host}:${target.port}${load.path}`,
    ],
    core: generatorCore,
  });
  const output = await wrk.output();
  const report = /^report (\{.*\})$/m.exec(output)?.[1];
  if (report === undefined) throw new Error(`wrk said nothing: ${output}`);
  const result = JSON.parse(report) as SaturationResult;
  if (result.failed > 0) throw new Error(`${result.failed} of ${result.requests} requests failed`);
  if (result.requests === 0) throw new Error("no request was answered");
  return result;
}

/** Requests at a fixed rate (programs/paced-requests.ts). */
export async function pace(
  target: Target,
  load: Omit<PacedOptions, "host" | "port" | "authority" | "seconds">,
  settings: Settings,
): Promise<PacedResult> {
  const result: PacedResult = JSON.parse(
    await run("paced-requests.ts", { ...load, ...address(target), seconds: settings.seconds }, settings),
  );
  if (result.failed > 0)
    throw new Error(`${result.failed} requests failed beside ${result.answered} answered`);
  return result;
}

/**
 * Requests at a fixed rate by oha, corrected for what it could not send in time. Undefined where it is not installed:
 * then `pace` does the same.
 */
export async function paceByOha(
  target: Target,
  load: { readonly path: string; readonly sockets: number; readonly perSecond: number },
  { seconds, generatorCore }: Settings,
): Promise<PacedResult | undefined> {
  const program = findProgram("oha");
  if (program === undefined) return undefined;
  const oha = new Child({
    command: [
      ...[program, "--no-tui", "--latency-correction", "--output-format", "json", "--disable-compression"],
      ...["-q", String(load.perSecond), "-c", String(load.sockets), "-z", `${seconds}s`],
      ...["--host", target.authority, `http://${target.host}:${target.port}${load.path}`],
    ],
    core: generatorCore,
  });
  return readOha(await oha.output(), load.perSecond * seconds);
}

/** A share of these may be under way when the time is over. */
const unfinishedShare = 0.02;

/** `lagMs`: oha does not tell. */
export function readOha(json: string, expected: number): PacedResult {
  const { latencyPercentiles: at, statusCodeDistribution } = JSON.parse(json) as {
    readonly latencyPercentiles: Readonly<Record<string, number>>;
    readonly statusCodeDistribution: Readonly<Record<string, number>>;
  };
  const answered = statusCodeDistribution["200"] ?? 0;
  const failed = Math.round(expected * (1 - unfinishedShare)) - answered;
  if (failed > 0) throw new Error(`${answered} of ${expected} requests were answered`);
  const ms = (name: string): number => (at[name] ?? Number.NaN) * 1_000;
  return { answered, failed: 0, p50Ms: ms("p50"), p99Ms: ms("p99"), p999Ms: ms("p99.9"), lagMs: Number.NaN };
}

/** Large bodies one after another (programs/bulk.ts). */
export async function move(
  target: Target,
  load: Omit<BulkOptions, "host" | "port" | "authority" | "seconds">,
  settings: Settings,
): Promise<BulkResult> {
  return JSON.parse(
    await run("bulk.ts", { ...load, ...address(target), seconds: settings.seconds }, settings),
  );
}

/** Messages there and back (programs/messages.ts). */
export async function chat(
  target: Target,
  load: Omit<MessagesOptions, "host" | "port" | "authority" | "seconds">,
  settings: Settings,
): Promise<MessagesResult> {
  return JSON.parse(
    await run("messages.ts", { ...load, ...address(target), seconds: settings.seconds }, settings),
  );
}

/** New visitors, one after another (programs/first-bytes.ts). */
export async function greet(
  target: Target,
  load: Omit<FirstBytesOptions, "host" | "port" | "authority" | "seconds">,
  settings: Settings,
): Promise<FirstBytesResult> {
  return JSON.parse(
    await run("first-bytes.ts", { ...load, ...address(target), seconds: settings.seconds }, settings),
  );
}

function run(
  program: string,
  options: PacedOptions | BulkOptions | MessagesOptions | FirstBytesOptions,
  { generatorCore }: Settings,
): Promise<string> {
  const command = [process.execPath, join(programs, program), JSON.stringify(options)];
  return new Child({ command, core: generatorCore }).output();
}

function address({ host, port, authority }: Target): Pick<Target, "host" | "port" | "authority"> {
  return { host, port, authority };
}
