import type { StreamIds } from "./rest.ts";
import type { Stream } from "./stream.ts";

/** The streams of a session by their ids: which are open, and which ever were (PROTOCOL.md section 4). */
export class StreamTable {
  private readonly open = new Map<number, Stream>();
  private nextId: number;
  /** Streams that are open, by who opened them. */
  own = 0;
  peers = 0;
  /** Of the peer's OPENs that were read, and of ours that were written. */
  highestPeerId: number;
  highestOwnId: number;

  /** `ids`: where it was when the session came to rest. */
  constructor(
    private readonly side: "agent" | "relay",
    ids: StreamIds = { nextId: side === "agent" ? 1 : 2, highestOwnId: 0, highestPeerId: 0 },
  ) {
    this.nextId = ids.nextId;
    this.highestOwnId = ids.highestOwnId;
    this.highestPeerId = ids.highestPeerId;
  }

  get ids(): StreamIds {
    const { nextId, highestOwnId, highestPeerId } = this;
    return { nextId, highestOwnId, highestPeerId };
  }

  get size(): number {
    return this.open.size;
  }

  get(id: number): Stream | undefined {
    return this.open.get(id);
  }

  all(): Stream[] {
    return [...this.open.values()];
  }

  /** Whether this side opens streams with such an id. */
  isOwn(id: number): boolean {
    return (id & 1) === (this.side === "agent" ? 1 : 0);
  }

  everOpened(id: number): boolean {
    if (id === 0) return false;
    return id <= (this.isOwn(id) ? this.highestOwnId : this.highestPeerId);
  }

  /** Control records run ahead of frames, so the peer's own next ids may be named early. */
  mayMention(id: number): boolean {
    return id !== 0 && (!this.isOwn(id) || id <= this.highestOwnId);
  }

  /** The id of the next stream of ours; undefined when they are used up. */
  get next(): number | undefined {
    return this.nextId > 0xffff_ffff ? undefined : this.nextId;
  }

  add(stream: Stream): void {
    this.open.set(stream.id, stream);
    if (!this.isOwn(stream.id)) this.peers++;
    else {
      this.own++;
      this.nextId = stream.id + 2;
    }
  }

  /** false: it was not there. */
  remove(stream: Stream): boolean {
    if (!this.open.delete(stream.id)) return false;
    if (this.isOwn(stream.id)) this.own--;
    else this.peers--;
    return true;
  }
}
