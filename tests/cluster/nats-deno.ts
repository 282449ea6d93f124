// Runs the cases of NATS under Deno.
import { runOnDeno } from "../conformance/run-on-deno.ts";
import { natsCases } from "./nats-cases.ts";

await runOnDeno(natsCases, 20_000);
