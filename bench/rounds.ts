import type { Contender, Running, Target } from "./contenders/contender.ts";
import { type Cost, startMeter } from "./meter.ts";
import { median, type Summary, summarise } from "./statistics.ts";
import type { Settings, Workload } from "./workloads/workload.ts";

/** A contender's figures in one workload, over all rounds that succeeded. */
export interface Row {
  readonly contender: string;
  readonly metrics: Readonly<Record<string, Summary>>;
  /** Medians. `cpuSeconds` is for one `workUnit`. */
  readonly costs: readonly Cost[];
  /** The first metric against that of another contender in the same round, by its name. */
  readonly ratios: Readonly<Record<string, Summary>>;
  /** What went wrong, one text a failed round. */
  readonly faults: readonly string[];
}

export interface Result {
  readonly workload: Pick<Workload, "name" | "about" | "metrics" | "workUnit">;
  readonly note: string;
  readonly rows: readonly Row[];
}

export interface Entrant {
  readonly contender: Contender;
  readonly running: Running;
}

export interface RoundsOptions extends Settings {
  readonly rounds: number;
  /** Before the first round, of each contender. A JIT takes seconds. */
  readonly warmUpSeconds: number;
  /** Aborted: the run ends before its next measurement. */
  readonly signal: AbortSignal;
  log(line: string): void;
}

interface Measured {
  readonly values: Readonly<Record<string, number>>;
  readonly costs: readonly Cost[];
}

/**
 * Runs a workload through all entrants in turn, round after round. Every second round goes backwards (A B C, C B A),
 * so that a machine which gets slower or faster meanwhile favours nobody. Ratios are made within a round.
 */
export async function playRounds(
  workload: Workload,
  entrants: readonly Entrant[],
  { rounds, warmUpSeconds, signal, log, ...settings }: RoundsOptions,
): Promise<Result> {
  const there = entrants.flatMap(({ contender, running }) => {
    const target = running.targets[workload.way];
    return target === undefined ? [] : [{ contender, target }];
  });
  const field = there.map(({ target }) => target);
  const note = (await workload.prepare?.(field, settings)) ?? "";
  const measured = new Map<string, (Measured | undefined)[]>();
  const faults = new Map<string, string[]>();
  for (const { contender } of there) {
    measured.set(contender.name, []);
    faults.set(contender.name, []);
  }
  for (const target of field) {
    signal.throwIfAborted();
    // Not counted: sockets, pages and compiled code get warm. What fails here fails again below, and is told there.
    await measureOnce(workload, target, { ...settings, seconds: warmUpSeconds }).catch(() => undefined);
  }
  const headline = workload.metrics[0];
  for (let round = 0; round < rounds; round++) {
    for (const { contender, target } of round % 2 === 0 ? there : there.toReversed()) {
      signal.throwIfAborted();
      const said = `${workload.name} round ${round + 1}/${rounds} ${contender.name}`;
      try {
        const one = await measureOnce(workload, target, settings);
        measured.get(contender.name)?.push(one);
        log(`${said}: ${(one.values[headline?.name ?? ""] ?? 0).toPrecision(5)} ${headline?.unit}`);
      } catch (error) {
        measured.get(contender.name)?.push(undefined);
        faults.get(contender.name)?.push(String(error));
        log(`${said}: ${error}`);
      }
    }
  }
  const rows = there.map(({ contender }): Row => {
    const mine = measured.get(contender.name) ?? [];
    const ratios: Record<string, Summary> = {};
    for (const [other, theirs] of measured) {
      const pairs = mine.flatMap((one, round) => {
        const ratio =
          (one?.values[headline?.name ?? ""] ?? Number.NaN) /
          (theirs[round]?.values[headline?.name ?? ""] ?? Number.NaN);
        return Number.isFinite(ratio) ? [ratio] : [];
      });
      if (other !== contender.name && pairs.length > 0) ratios[other] = summarise(pairs);
    }
    const good = mine.filter((one) => one !== undefined);
    return {
      contender: contender.name,
      metrics: Object.fromEntries(
        good.length === 0
          ? []
          : workload.metrics.map(({ name }) => [
              name,
              summarise(good.map((one) => one.values[name] ?? Number.NaN)),
            ]),
      ),
      costs: (good[0]?.costs ?? []).map(({ role }, index) => ({
        role,
        cpuSeconds: median(good.map(({ costs }) => costs[index]?.cpuSeconds ?? Number.NaN)),
        peakRssMiB: median(good.map(({ costs }) => costs[index]?.peakRssMiB ?? Number.NaN)),
      })),
      ratios,
      faults: faults.get(contender.name) ?? [],
    };
  });
  const { name, about, metrics, workUnit } = workload;
  return { workload: { name, about, metrics, workUnit }, note, rows };
}

async function measureOnce(workload: Workload, target: Target, settings: Settings): Promise<Measured> {
  const readCosts = startMeter(target);
  const { values, work } = await workload.measure(target, settings);
  return { values, costs: readCosts().map((cost) => ({ ...cost, cpuSeconds: cost.cpuSeconds / work })) };
}
