import type { Machine } from "./machine.ts";
import type { Network } from "./network.ts";
import type { EventPlan } from "./plan.ts";
import { SeededRandom } from "./random.ts";
import { Violation } from "./world.ts";

/** Somebody on whose link an old HELLO arrives, as it was or forged. Nobody may notice. */
export class Ghost {
  constructor(
    private readonly network: Network,
    private readonly machine: Machine,
  ) {}

  come(_event: EventPlan & { readonly do: "stale" }): void {
    void this.network;
    void this.machine;
    void SeededRandom;
    void Violation;
  }
}
