import type { Contender } from "../contenders/contender.ts";
import type { Attendance } from "../contest.ts";
import type { Result, RoundsOptions } from "../rounds.ts";

/** What needs a world of its own (another network, thousands of tunnels) and so is not one of the workloads. */
export interface Study {
  /** For `--only`. */
  readonly name: string;
  /** One sentence for `--list`. */
  readonly about: string;
  /** Why it can't be made here, or undefined. */
  absent(): Promise<string | undefined>;
  run(options: StudyOptions): Promise<{
    readonly results: readonly Result[];
    readonly contenders?: readonly Attendance[];
  }>;
}

export interface StudyOptions extends RoundsOptions {
  readonly contenders: readonly Contender[];
}
