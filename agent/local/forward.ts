import { DialEnd } from "../../shared/pipe-ends/dial-end.ts";
import type { Dial, DialTarget } from "../../shared/socket.ts";
import { dialFailureCode } from "../origins/dial-failure.ts";
import { dialLoopback } from "../origins/loopback.ts";
import { type Doorway, type DoorwayOptions, openDoorway } from "./doorway.ts";

const defaultDialTimeoutMs = 10_000;

export interface ForwardOptions extends Omit<DoorwayOptions, "kind" | "call"> {
  readonly dial: Dial;
  /** With neither host nor path of a unix socket: the port on 127.0.0.1 or ::1, whichever answers. */
  readonly to: DialTarget;
  readonly dialTimeoutMs?: number;
}

/** A plain TCP proxy, without a relay: each visitor has a socket of his own to the target. Rejects with `port-in-use`. */
export function startForward(options: ForwardOptions): Promise<Doorway> {
  const { to: target, dialTimeoutMs: timeoutMs = defaultDialTimeoutMs } = options;
  const dial = dialLoopback(options.dial);
  return openDoorway({
    ...options,
    kind: "forward",
    call: (opened) => new DialEnd({ dial, target, timeoutMs, code: dialFailureCode, opened }),
  });
}
