import type { Flight } from "./flight.ts";
import type { MessageWriter } from "./frame.ts";
import { Queue } from "./queue.ts";
import type { Stream } from "./stream.ts";

/**
 * Whose turn it is to put frames into a message. A stream that had nothing to send goes before those whose turn did not
 * suffice, so that a small request does not wait for each bulk one; as those have long turns, it would. Both get half
 * where both wait: new ones without end starve nobody.
 */
export class Turns {
  private readonly fresh = new Queue<Stream>();
  private readonly bulk = new Queue<Stream>();
  /** Bytes of fresh ones less those of bulk ones, since those had to wait. */
  private freshLead = 0;

  /** Streams that wait. */
  get length(): number {
    return this.fresh.length + this.bulk.length;
  }

  /** Some stream waits that is not closed. */
  get waiting(): boolean {
    while (this.fresh.peek()?.closed === true) this.fresh.shift();
    if (this.fresh.length > 0) return true;
    while (this.bulk.peek()?.closed === true) this.bulk.shift();
    return this.bulk.length > 0;
  }

  /** The stream has something to send, and takes its turns until it has nothing. */
  add(stream: Stream): void {
    stream.inTurn = true;
    this.fresh.push(stream);
  }

  /** What the writer needs for all that waits, counted no further than `enough`. */
  bytesUpTo(enough: number): number {
    let bytes = 0;
    for (const queue of [this.fresh, this.bulk])
      for (let i = 0; i < queue.length && bytes < enough; i++) bytes += queue.at(i)?.waitingBytes ?? 0;
    return bytes;
  }

  /** The next turn. false: no stream waits, or the message is full, and the turn goes on in the next one. */
  take(writer: MessageWriter, flight: Flight): boolean {
    const { fresh, bulk } = this;
    const isFresh = fresh.length > 0 && (bulk.length === 0 || this.freshLead < flight.turnBytes);
    const queue = isFresh ? fresh : bulk;
    const stream = queue.shift();
    if (stream === undefined) return false;
    if (stream.closed) return true;
    if (bulk.length === 0 && isFresh) this.freshLead = 0;
    const from = writer.length;
    const most = this.length === 0 ? flight.messageBytes : isFresh ? flight.firstTurnBytes : flight.turnBytes;
    const done = stream.fill(writer, most);
    const bytes = writer.length - from;
    this.freshLead = isFresh ? this.freshLead + bytes : Math.max(0, this.freshLead - bytes);
    if (!done) {
      queue.unshift(stream);
      return false;
    }
    stream.inTurn = !stream.closed && stream.sendable;
    if (stream.inTurn) bulk.push(stream);
    return true;
  }

  clear(): void {
    this.fresh.clear();
    this.bulk.clear();
  }
}
