import type { EgressDoor, EgressEnd } from "../../shared/egress/door.ts";
import type { EgressPolicy } from "../../shared/egress/policy.ts";
import { decodeHead } from "../../shared/head.ts";
import { streamKinds } from "../../shared/kind.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import type { Origin } from "../agent.ts";

export interface EgressOriginOptions {
  /** Serves the tunnel's own streams. */
  readonly origin: Origin;
  readonly door: EgressDoor;
  /** What --allow-egress says. */
  readonly policy: EgressPolicy;
  readonly onEnd: (end: EgressEnd) => void;
}

/** The origin of an agent that was started with --allow-egress: a stream that names a target goes there, if it may. */
export class EgressOrigin implements Origin {
  readonly #options: EgressOriginOptions;

  constructor(options: EgressOriginOptions) {
    this.#options = options;
  }

  open(stream: Stream, fields: Uint8Array): StreamHandler {
    const { origin, door, policy, onEnd } = this.#options;
    // Requests have no target; decoding them twice would cost each of them.
    const head = stream.kind === streamKinds.http ? undefined : decodeHead(fields);
    if (head?.target === undefined) return origin.open(stream, fields);
    return door.open(stream, head, policy, onEnd);
  }

  leave(): void {
    this.#options.origin.leave?.();
  }

  close(): void {
    this.#options.origin.close?.();
  }
}
