// Runs the datagram cases over node-datagrams.ts under Deno.
import { openDatagrams } from "../../shared/runtimes/node-datagrams.ts";
import { datagramCases } from "./datagram-cases.ts";
import { runOnDeno } from "./run-on-deno.ts";

const cases = datagramCases.filter(({ skipOnDeno }) => skipOnDeno === undefined);
await runOnDeno(
  cases.map(({ name, run }) => ({ name, run: () => run(openDatagrams) })),
  10_000,
);
