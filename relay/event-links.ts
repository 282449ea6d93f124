import { base64url } from "../shared/base64url.ts";
import type { Clock } from "../shared/clock.ts";
import type { OrderedBody } from "../shared/links/event-stream-order.ts";
import { EventStreamRelayLink } from "../shared/links/event-stream-relay.ts";
import type { EventSink } from "../shared/links/event-stream-sink.ts";

export interface EventLinksDeps {
  readonly clock: Clock;
  readonly random: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>;
}

/** What a POST says of itself (PROTOCOL.md section 1.1). */
export interface PostFields {
  readonly name: string;
  readonly link: string;
  readonly secret: string;
  readonly number: number;
}

/** Of POSTs of all links together, waiting for their turn: then only those whose turn it is are taken in. */
const maxHeldBytes = 67_108_864;
/** Those that had begun before may still grow. A link that would have more held than this is dropped. */
const dropsAboveBytes = 100_663_296;

interface Entry {
  readonly name: string;
  readonly secret: string;
  readonly link: EventStreamRelayLink;
}

/** The links without WebSocket that this relay has, by what their POSTs say. */
export class EventLinks {
  private readonly entries = new Map<string, Entry>();
  private heldBytes = 0;

  constructor(private readonly deps: EventLinksDeps) {}

  /** Makes a link of an answer whose head has been written. */
  open(name: string, sink: EventSink): EventStreamRelayLink {
    const { clock, random } = this.deps;
    const id = base64url(random(new Uint8Array(16)));
    const secret = base64url(random(new Uint8Array(32)));
    const link: EventStreamRelayLink = new EventStreamRelayLink(sink, {
      ...{ clock, id, secret },
      gone: () => void this.entries.delete(id),
      held: (bytes) => {
        this.heldBytes += bytes;
        if (bytes > 0 && this.heldBytes > dropsAboveBytes) link.destroy();
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
    if (number > link.taken + 1 && this.heldBytes > maxHeldBytes) return "busy";
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
