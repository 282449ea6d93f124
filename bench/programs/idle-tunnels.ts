/**
 * A program: opens many tunnels of one link each, prints the seconds that took, and keeps them until it is stopped.
 * Options are JSON in BENCH_IDLE.
 */
import { expose } from "../../agent/expose.ts";

export interface IdleOptions {
  readonly relay: string;
  /** The first is that of the first `namesPerOwner` tunnels, and so on. */
  readonly tokens: readonly string[];
  readonly namesPerOwner: number;
  readonly count: number;
  /** Names are this and a number. */
  readonly prefix: string;
}

/** Dialled at the same time. */
const atATime = 64;

const options = JSON.parse(process.env["BENCH_IDLE"] ?? "{}") as IdleOptions;
const { relay, tokens, namesPerOwner, count, prefix } = options;
const startMs = performance.now();
let next = 0;
await Promise.all(
  Array.from({ length: atATime }, async () => {
    while (next < count) {
      const token = tokens[Math.floor(next / namesPerOwner)] ?? "";
      const name = `${prefix}-${next++}`;
      await expose({ port: 9, relay, token, name, links: 1 });
    }
  }),
);
console.log((performance.now() - startMs) / 1_000);
