/**
 * A script for tests/netns: a contest with a long link between the public side and the private one. The visitors and
 * the public side are in this network, agents and origins on the far host. Its last line is the outcome.
 */

import { endWithParent } from "../../tests/netns/inside.ts";
import { WideArea } from "../../tests/netns/wide-area.ts";
import { lineup, peers } from "../contenders/lineup.ts";
import { hold } from "../contest.ts";
import type { RoundsOptions } from "../rounds.ts";
import { Bulk } from "../workloads/bulk.ts";
import { FirstByte } from "../workloads/first-byte.ts";
import { Stream } from "../workloads/stream.ts";

export interface DistantOptions extends Omit<RoundsOptions, "signal" | "log"> {
  readonly delayMs: number;
  readonly lossPercent: number;
  /** By name. */
  readonly peers: readonly string[];
}

endWithParent();
await main();
// What ends it with its parent would keep it alive.
process.exit(0);

async function main(): Promise<void> {
  const {
    delayMs,
    lossPercent,
    peers: chosen,
    ...options
  } = JSON.parse(process.argv[2] ?? "{}") as DistantOptions;
  await using area = await WideArea.build({ delayMs, lossPercent });
  const outcome = await hold({
    site: {
      about: `${2 * delayMs} ms round trip, ${lossPercent} % loss each way`,
      publicHost: WideArea.nearAddress,
      privateHost: area.farAddress,
      originHost: "0.0.0.0",
      privately: (command) => area.far.command(...command),
    },
    contenders: lineup(peers.filter(({ name }) => chosen.includes(name))),
    workloads: [
      new FirstByte("web", 2 * delayMs),
      new FirstByte("tcp", 2 * delayMs),
      new Bulk("down", { whole: false }),
      new Stream("down", 1),
      new Stream("up", 1),
    ],
    options: {
      ...options,
      signal: new AbortController().signal,
      log: (line) => console.error(`${2 * delayMs} ms, ${lossPercent} %: ${line}`),
    },
  });
  console.log(JSON.stringify({ ...outcome, means: area.means }));
}
