import { base64url } from "../shared/base64url.ts";
import type { Clock } from "../shared/clock.ts";
import type { SessionKind } from "../shared/kind.ts";
import type { OrderedBody } from "../shared/links/event-stream-order.ts";
import { EventStreamRelayLink } from "../shared/links/event-stream-relay.ts";
import type { EventSink } from "../shared/links/event-stream-sink.ts";
import type { Memory } from "../shared/mux/memory.ts";
import { callingShare, isCalling } from "./session-home.ts";

export interface EventLinksDeps {
  readonly clock: Clock;
  readonly random: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>;
  /** Where what waits is counted; and where there is little, how much of it. */
  readonly memory: Memory;
  readonly bounds?: EventLinkBounds;
}

export interface EventLinkBounds {
  readonly maxLinks: number;
  /** Of POSTs of all links together, waiting for their turn: then only those whose turn it is are taken in. */
  readonly maxHeldBytes: number;
  /** Those that had begun before may still grow. A link that would have more held than this is dropped. */
  readonly dropsAboveBytes: number;
}

/** What a POST says of itself (PROTOCOL.md section 1.1). */
export interface PostFields {
  readonly name: string;
  readonly link: string;
  readonly secret: string;
  readonly number: number;
}

const ampleBounds: EventLinkBounds = {
  maxLinks: Number.POSITIVE_INFINITY,
  maxHeldBytes: 67_108_864,
  dropsAboveBytes: 100_663_296,
};

interface Entry {
  readonly name: string;
  readonly secret: string;
  readonly link: EventStreamRelayLink;
}

/** The links without WebSocket that this relay has, by what their POSTs say. */
export class EventLinks {
  private readonly entries = new Map<string, Entry>();
  private readonly bounds: EventLinkBounds;
  private heldBytes = 0;

  constructor(private readonly deps: EventLinksDeps) {
    this.bounds = deps.bounds ?? ampleBounds;
  }

  /** There are as many as may be; those that call leave some to the agents of tunnels. */
  isFull(kind: SessionKind): boolean {
    const { maxLinks } = this.bounds;
    return this.entries.size >= (isCalling(kind) ? maxLinks * callingShare : maxLinks);
  }

  /** Makes a link of an answer whose head has been written. */
  open(name: string, sink: EventSink): EventStreamRelayLink {
    const { clock, random, memory } = this.deps;
    const id = base64url(random(new Uint8Array(16)));
    const secret = base64url(random(new Uint8Array(32)));
    const link: EventStreamRelayLink = new EventStreamRelayLink(sink, {
      ...{ clock, id, secret },
      gone: () => void this.entries.delete(id),
      held: (bytes) => {
        this.heldBytes += bytes;
        memory.beside.add(bytes);
        if (bytes > 0 && this.heldBytes > this.bounds.dropsAboveBytes) link.destroy();
      },
    });
    this.entries.set(id, { name, secret, link });
    return link;
  }

  /**
   * Begins a POST. `unknown`: there is no such link, or its secret is another. `invalid`: the link is dropped. `busy`:
   * it is to come again.
   */
  post({ name, link: id, secret, number }: PostFields): OpenPost | "unknown" | "invalid" | "busy" {
    const entry = this.entries.get(id);
    if (entry === undefined || entry.name !== name || !isSame(secret, entry.secret)) return "unknown";
    const { link } = entry;
    const isFull = this.deps.memory.isScarce || this.heldBytes > this.bounds.maxHeldBytes;
    if (number > link.taken + 1 && isFull) return "busy";
    const body = link.post(number);
    return body === undefined ? "invalid" : { link, body };
  }
}

export interface OpenPost {
  readonly link: EventStreamRelayLink;
  readonly body: OrderedBody;
}

/** Takes as long whichever characters differ. */
function isSame(one: string, other: string): boolean {
  let difference = one.length ^ other.length;
  for (let i = 0; i < other.length; i++) difference |= other.charCodeAt(i) ^ one.charCodeAt(i);
  return difference === 0;
}
