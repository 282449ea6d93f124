import type { Clock } from "../clock.ts";
import type { OpenDatagrams } from "../datagrams.ts";
import type { Code } from "../errors.ts";
import { decodeHead, type HeadFields } from "../head.ts";
import { streamKinds } from "../kind.ts";
import type { Stream, StreamHandler } from "../mux/stream.ts";
import { silentHandler } from "../mux/stream-handler.ts";
import type { Resolve } from "../resolve.ts";
import type { Dial } from "../socket.ts";
import { egressLimits } from "./limits.ts";
import { Places } from "./places.ts";
import type { EgressPolicy } from "./policy.ts";
import type { SearchDeps } from "./search.ts";
import { parseTarget, targetText } from "./target.ts";
import { TcpCall } from "./tcp-call.ts";
import { UdpFlow } from "./udp-flow.ts";

/** How a stream that went out ended; for logs and events. */
export interface EgressEnd {
  /** `HOST:PORT` in canonical form; as it came where it was not of that form. */
  readonly target: string;
  /** From the opener to the far end. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly end: "closed" | "reset";
  /** Why it was reset, or never opened. */
  readonly code?: Code;
}

export interface EgressDoorDeps {
  readonly dial: Dial;
  readonly resolve: Resolve;
  readonly clock: Clock;
  /**
   * No socket is to be had now: a stream of bytes is told `too-many-streams` before anything is looked up. Absent: they don't run out.
   */
  readonly isFull?: () => boolean;
  /** Absent: no flows of datagrams. */
  readonly openDatagrams?: OpenDatagrams;
  /**
   * Is this public address one of this machine's own? What listens there may count on a firewall that does not see us: such an address is
   * granted like loopback. Absent: no address is.
   */
  readonly isOwn?: (address: string, port: number) => boolean;
}

/**
 * The way out of this side into the network, for streams that name their target (PROTOCOL.md section 7). Each is checked against a policy
 * before its name is resolved and again after, and dialled at an address that was checked, never by name.
 * What is denied is told `egress-denied`, be there something or not.
 */
export class EgressDoor {
  readonly #deps: EgressDoorDeps & SearchDeps;
  readonly #dials = new Places(egressLimits.maxDials, egressLimits.maxDialsOfOne);

  readonly #flows = new Places(egressLimits.maxFlows, egressLimits.maxFlowsOfOne);

  constructor(deps: EgressDoorDeps) {
    const lookUps = new Places(egressLimits.maxLookUps, egressLimits.maxLookUpsOfOne);
    this.#deps = { ...deps, lookUps };
  }

  /** Flows of datagrams now. */
  get flows(): number {
    return this.#flows.taken;
  }

  /** Targets that are looked up or dialled now. */
  get dials(): number {
    return this.#dials.taken;
  }

  /**
   * Serves a stream that the peer opened with `fields`; never throws for what is in them. The caller has checked that the peer may open such
   * streams at all. `done` is called once, from inside `open` when the target is denied.
   */
  open(
    stream: Stream,
    fields: Uint8Array | HeadFields,
    policy: EgressPolicy,
    done: (end: EgressEnd) => void = () => {},
  ): StreamHandler {
    const head = fields instanceof Uint8Array ? decodeHead(fields) : fields;
    const { target: asked, publicOnly = false } = head ?? {};
    const refuse = (target: string, code: Code): StreamHandler => {
      stream.reset(code);
      done({ target, bytesIn: 0, bytesOut: 0, end: "reset", code });
      return silentHandler;
    };
    if (asked === undefined) return refuse("", "head-invalid");
    const target = parseTarget(asked);
    if (target === undefined) return refuse(asked, "egress-denied");
    const text = targetText(target);
    const asking = policy.asks(target);
    if (asking === "denied") return refuse(text, "egress-denied");
    const request = { target, text, policy, publicOnly, byAddress: asking === "by-address" };
    if (stream.kind === streamKinds.tcp) {
      if (this.#deps.isFull?.() === true) return refuse(text, "too-many-streams");
      return new TcpCall(this.#deps, this.#dials, stream, request, done).receiver;
    }
    const { openDatagrams } = this.#deps;
    if (stream.kind !== streamKinds.udp || openDatagrams === undefined) return refuse(text, "kind-unknown");
    return new UdpFlow({ ...this.#deps, openDatagrams }, this.#flows, stream, request, done);
  }
}
