import { insideRefusal, runInside } from "../../tests/netns/inside.ts";
import { wideAreaRefusal } from "../../tests/netns/wide-area.ts";
import type { Outcome } from "../contest.ts";
import type { DistantOptions } from "../programs/distant.ts";
import type { Result } from "../rounds.ts";
import type { Study } from "./study.ts";

const links = [
  { delayMs: 0, lossPercent: 0 },
  { delayMs: 25, lossPercent: 0 },
  { delayMs: 25, lossPercent: 1 },
  { delayMs: 75, lossPercent: 0 },
  { delayMs: 75, lossPercent: 1 },
] as const;

/** New visitors and bulk where the private side is far away. */
export const distance: readonly Study[] = links.map(({ delayMs, lossPercent }) => ({
  name: `distance-${2 * delayMs}ms${lossPercent > 0 ? "-loss" : ""}`,
  about: `first byte of new visitors, and bulk, over ${2 * delayMs} ms round trip and ${lossPercent} % loss, in namespaces`,
  absent: async () => insideRefusal ?? wideAreaRefusal,
  async run({ contenders, signal, log: _log, ...options }) {
    signal.throwIfAborted();
    const argument: DistantOptions = {
      ...options,
      delayMs,
      lossPercent,
      peers: contenders.map(({ name }) => name),
    };
    const outcome = (await runInside("bench/programs/distant.ts", argument)) as Outcome & {
      readonly means: string;
    };
    const note = `${2 * delayMs} ms round trip, ${lossPercent} % loss each way, by ${outcome.means}`;
    const rename = ({ workload, ...rest }: Result): Result => ({
      ...rest,
      note,
      workload: { ...workload, name: `${this.name}-${workload.name}` },
    });
    return { contenders: outcome.contenders, results: outcome.results.map(rename) };
  },
}));
