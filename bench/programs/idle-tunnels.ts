/**
 * A program: opens many tunnels of one link each, prints the seconds that took, and keeps them until it is stopped.
 * Options are JSON in BENCH_IDLE.
 */
import { expose } from "../../agent/expose.ts";

export interface IdleOptions {
  readonly relay: string;
  readonly token: string;
  readonly count: number;
}

/** Dialled at the same time. */
const atATime = 64;

const { relay, token, count } = JSON.parse(process.env["BENCH_IDLE"] ?? "{}") as IdleOptions;
const startMs = performance.now();
let next = 0;
await Promise.all(
  Array.from({ length: atATime }, async () => {
    while (next < count) {
      const name = `idle-${next++}`;
      await expose({ port: 9, relay, token, name, links: 1 });
    }
  }),
);
console.log((performance.now() - startMs) / 1_000);
