import type { Target, Way } from "../contenders/contender.ts";

/** What is asked of each contender in turn. To add one: a file or class here, and a line in catalogue.ts. */
export interface Workload {
  /** For `--only`; words joined by '-'. */
  readonly name: string;
  /** One sentence for the report. */
  readonly about: string;
  /** Which of a contender's ways is used, and metered. */
  readonly way: Way;
  /** The first is the one that ratios are made of. */
  readonly metrics: readonly Metric[];
  /** Unit of `Measurement.work`: costs are given for each of it. */
  readonly workUnit: string;
  /** Looks at all contenders before the first round, where a rate must be the same for all. Returns a note on it. */
  prepare?(field: readonly Target[], settings: Settings): Promise<string>;
  /** One contender, one round. Rejects when anything was answered wrongly: such a figure is none. */
  measure(target: Target, settings: Settings): Promise<Measurement>;
}

export interface Metric {
  readonly name: string;
  readonly unit: string;
  readonly better: "more" | "less";
}

export interface Measurement {
  readonly values: Readonly<Record<string, number>>;
  /** How much was done, in the workload's `workUnit`. */
  readonly work: number;
}

export interface Settings {
  /** Length of one measurement. */
  readonly seconds: number;
  /** Core that load generators are held to; undefined: any. */
  readonly generatorCore: number | undefined;
}

/**
 * The lowest of what `probe` finds. A contender whose probe fails does not count: its own measurements will say why.
 * Rejects when all fail.
 */
export async function slowest(
  field: readonly Target[],
  probe: (target: Target) => Promise<number>,
): Promise<number> {
  const found: number[] = [];
  let fault: unknown;
  for (const target of field) {
    try {
      found.push(await probe(target));
    } catch (error) {
      fault = error;
    }
  }
  if (found.length === 0) throw fault;
  return Math.min(...found);
}
