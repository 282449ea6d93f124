import type { Caller } from "../caller.ts";
import { type Doorway, type DoorwayOptions, openDoorway } from "./doorway.ts";

export interface ConnectOptions extends Omit<DoorwayOptions, "kind" | "call"> {
  readonly caller: Caller;
}

/** A port on this machine that is a private tunnel's: each visitor has a stream to it. Rejects with `port-in-use`. */
export function startConnect(options: ConnectOptions): Promise<Doorway> {
  const { caller } = options;
  return openDoorway({
    ...options,
    kind: "connect",
    call(opened) {
      // The far end's credit is what holds him back, so nothing need wait for its answer.
      const far = caller.tcp(undefined, () => {});
      opened();
      return far;
    },
  });
}
