import type { Clock } from "../../shared/clock.ts";
import { codes } from "../../shared/errors.ts";
import { streamKinds } from "../../shared/kind.ts";
import type { Link, LinkHandler } from "../../shared/link.ts";
import { StreamLink } from "../../shared/links/stream.ts";
import { limits } from "../../shared/mux/limits.ts";
import type { Memory } from "../../shared/mux/memory.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import { silentHandler } from "../../shared/mux/stream-handler.ts";
import type { Admission } from "../admission.ts";
import { refuseLink } from "../refuse-link.ts";
import { linkHead, readLinkHead } from "./link-head.ts";
import type { Neighbours } from "./neighbours.ts";

/** Of a link for a session of another relay. */
export type PassingAdmission = Admission & Required<Pick<Admission, "session" | "elsewhere">>;

export interface PassedLinksDeps {
  readonly clock: Clock;
  readonly memory: Memory;
  readonly open: Neighbours["open"];
}

const passingLimits = {
  /** Any agent has them for the asking, and visitors come by the same sessions: half of the streams of one. */
  maxLinks: limits.maxStreams / 2,
  /**
   * What may wait for the other relay: all that an agent leaves unacknowledged, and datagrams. Nothing slows an agent's
   * link but its own budget, so one above it is dropped.
   */
  maxWaitingBytes: limits.maxFlightBytes + 2 * limits.maxPendingDatagramBytes,
  /** The same where memory is scarce: what it leaves unacknowledged on a link of which it knows nothing. */
  scarceWaitingBytes: limits.minFlightBytes + limits.maxMessageBytes,
} as const;

/** Agents' links at this relay for sessions that others have: each goes on over a stream to there. */
export class PassedLinks {
  readonly #deps: PassedLinksDeps;
  readonly #links = new Set<PassedLink>();

  constructor(deps: PassedLinksDeps) {
    this.#deps = deps;
  }

  get size(): number {
    return this.#links.size;
  }

  /** Takes over the link. `gone` is called once, when it is gone. */
  pass(link: Link, admission: PassingAdmission, gone: () => void): void {
    const { size } = this.#links;
    const hasRoom = size < passingLimits.maxLinks && !this.#deps.memory.isHog(size);
    const head = hasRoom ? linkHead(admission) : undefined;
    const stream = head && this.#deps.open(admission.elsewhere, streamKinds.tcp, head, silentHandler);
    if (stream === undefined) {
      refuseLink(link, "session-elsewhere", gone);
      return;
    }
    const passed: PassedLink = new PassedLink(link, stream, this.#deps, () => {
      this.#links.delete(passed);
      gone();
    });
    this.#links.add(passed);
  }

  /** The relay ends: agents dial again, elsewhere. */
  close(): void {
    for (const passed of this.#links) passed.close();
  }
}

/** An agent's link and one over a stream: whatever is said on either is said on the other. Nothing of it is looked at. */
class PassedLink {
  readonly #near: Link;
  readonly #far: StreamLink;
  readonly #memory: Memory;
  readonly #gone: () => void;
  /** The other relay has it. */
  #taken = false;

  constructor(near: Link, stream: Stream, { clock, memory }: PassedLinksDeps, gone: () => void) {
    this.#near = near;
    this.#far = new StreamLink(stream, {
      clock,
      opened: () => {
        this.#taken = true;
      },
    });
    this.#memory = memory;
    this.#gone = gone;
    near.handler = this.#fromAgent();
    this.#far.handler = this.#fromRelay();
  }

  close(): void {
    const code = codes["going-away"].close ?? 1001;
    this.#near.close(code, "going-away");
    this.#far.close(code, "going-away");
  }

  #fromAgent(): LinkHandler {
    const near = this.#near;
    const far = this.#far;
    return {
      heard() {},
      message: (bytes) => {
        far.send(bytes);
        this.#bound();
      },
      text: (text) => {
        far.sendText(text);
        this.#bound();
      },
      drained: () => far.held(near.queued),
      closed: (code, reason) => {
        endAlike(far, code, reason);
        this.#gone();
      },
    };
  }

  #fromRelay(): LinkHandler {
    const near = this.#near;
    const far = this.#far;
    return {
      heard() {},
      message: (bytes) => {
        near.send(bytes);
        far.held(near.queued);
      },
      text: (text) => {
        near.sendText(text);
        far.held(near.queued);
      },
      drained() {},
      closed: (code, reason) => {
        if (this.#taken) endAlike(near, code, reason);
        // It has said nothing yet, so the agent is still waiting for WELCOME.
        else refuseLink(near, "session-elsewhere", this.#gone);
      },
    };
  }

  #bound(): void {
    const { maxWaitingBytes, scarceWaitingBytes } = passingLimits;
    const most = this.#memory.isScarce ? scarceWaitingBytes : maxWaitingBytes;
    if (this.#far.queued > most) this.#near.destroy();
  }
}

/** Ends a link as the other one was ended. */
function endAlike(link: Link, code: number, reason: string): void {
  if (code === 1006) link.destroy();
  else link.close(code, reason);
}

/** What a relay has that took a link of another. */
export interface TakenLink {
  readonly link: Link;
  readonly admission: Admission;
  /** The stream's handler, which is set already. */
  readonly receiver: StreamHandler;
}

/** Takes a link that a neighbour passes on over `stream`, and says so. undefined: the stream was reset, as its head is not valid. */
export function takePassedLink(stream: Stream, fields: Uint8Array, clock: Clock): TakenLink | undefined {
  const facts = readLinkHead(fields);
  if (facts === undefined) {
    stream.reset("head-invalid");
    return undefined;
  }
  const link = new StreamLink(stream, { clock });
  stream.head(new Uint8Array(0));
  return { link, admission: { ...facts, passedOn: true }, receiver: link.receiver };
}
