import { frameHeaderBytes, type MessageWriter } from "./frame.ts";
import { limits } from "./limits.ts";
import type { Memory } from "./memory.ts";
import { ownBytes } from "./own-bytes.ts";
import { Queue } from "./queue.ts";
import type { Stream } from "./stream.ts";

/** When datagrams came: known at the next `tick`. */
interface Moment {
  atMs: number;
}

interface Waiting {
  readonly stream: Stream;
  readonly payload: Uint8Array;
  readonly moment: Moment;
}

/**
 * Datagrams that wait to be sent: first in, first out, bounded in memory and age, and dropped rather than delayed. Those
 * of a stream whose OPEN has not left wait apart: control records go before frames, so they would overtake it.
 */
export class DatagramQueue {
  private readonly ready = new Queue<Waiting>();
  private readonly early = new Map<Stream, Queue<Waiting>>();
  private cost = 0;
  private moment = notYet();

  constructor(private readonly memory: Memory) {}

  /** What waits weighs: bytes, and what a datagram costs beside its own. */
  get heldBytes(): number {
    return this.cost;
  }

  /** What came since the last time came now. */
  tick(nowMs: number): void {
    if (this.cost === 0) return;
    this.moment.atMs = nowMs;
    this.moment = notYet();
  }

  /** Takes a datagram; above the bound the oldest go. `tick` must follow soon. */
  add(stream: Stream, payload: Uint8Array): void {
    const waiting = { stream, payload: ownBytes(payload), moment: this.moment };
    if (stream.announced) this.ready.push(waiting);
    else {
      const queue = this.early.get(stream) ?? new Queue<Waiting>();
      queue.push(waiting);
      this.early.set(stream, queue);
    }
    this.weigh(costOf(waiting));
    while (this.isTooMuch) this.dropOldest();
  }

  /** The stream's OPEN has been written: what waited for that goes with the next message. */
  announced(stream: Stream): void {
    const queue = this.early.get(stream);
    if (queue === undefined) return;
    this.early.delete(stream);
    for (let one = queue.shift(); one !== undefined; one = queue.shift()) this.ready.push(one);
  }

  /** The stream is closed. */
  forget(stream: Stream): void {
    const queue = this.early.get(stream);
    if (queue === undefined) return;
    this.early.delete(stream);
    for (let one = queue.shift(); one !== undefined; one = queue.shift()) this.weigh(-costOf(one));
  }

  /** Whether one may go now. */
  hasReady(nowMs: number): boolean {
    for (let one = this.ready.peek(); one !== undefined; one = this.ready.peek()) {
      if (isWanted(one, nowMs)) return true;
      this.shift();
    }
    return false;
  }

  /** What the writer needs for as many as `write` would take. */
  bytesUpTo(mostBytes: number): number {
    let bytes = 0;
    for (let at = 0; bytes < mostBytes; at++) {
      const one = this.ready.at(at);
      if (one === undefined) break;
      bytes += one.payload.length + frameHeaderBytes;
    }
    return bytes;
  }

  /** Writes what fits in `mostBytes`, but one at least where the message has room for it. Returns the bytes written. */
  write(writer: MessageWriter, mostBytes: number, nowMs: number): number {
    const start = writer.length;
    while (this.hasReady(nowMs)) {
      const one = this.ready.peek();
      if (one === undefined) break;
      const size = one.payload.length + frameHeaderBytes;
      const written = writer.length - start;
      if (writer.room < size || (written > 0 && written + size > mostBytes)) break;
      writer.datagram(one.stream.id, one.payload);
      this.shift();
    }
    return writer.length - start;
  }

  clear(): void {
    this.ready.clear();
    this.early.clear();
    this.weigh(-this.cost);
  }

  private shift(): void {
    const one = this.ready.shift();
    if (one !== undefined) this.weigh(-costOf(one));
  }

  private get isTooMuch(): boolean {
    const { bounds, isScarce } = this.memory;
    return this.cost > bounds.maxDatagramBytes || (isScarce && this.cost > limits.scarceDatagramBytes);
  }

  private weigh(bytes: number): void {
    this.cost += bytes;
    this.memory.beside.add(bytes);
  }

  /** Of those that wait for an OPEN, only the first stream is looked at: the oldest is among its own, or nearly so. */
  private dropOldest(): void {
    const [first] = this.early;
    const oldest = this.ready.peek();
    const early = first?.[1].peek();
    if (
      first === undefined ||
      early === undefined ||
      (oldest !== undefined && oldest.moment.atMs <= early.moment.atMs)
    )
      return this.shift();
    this.weigh(-costOf(early));
    first[1].shift();
    if (first[1].length === 0) this.early.delete(first[0]);
  }
}

/** Empty ones are not free either. */
function costOf({ payload }: Waiting): number {
  return payload.length + limits.frameCost;
}

function notYet(): Moment {
  return { atMs: Number.POSITIVE_INFINITY };
}

function isWanted({ stream, moment }: Waiting, nowMs: number): boolean {
  return !stream.closed && !stream.ended && nowMs - moment.atMs <= limits.maxDatagramAgeMs;
}
