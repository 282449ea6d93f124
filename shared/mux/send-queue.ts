import { RecordType } from "./frame.ts";
import { limits } from "./limits.ts";
import type { Memory } from "./memory.ts";
import { Queue } from "./queue.ts";

/** A frame that waits. */
export interface Item {
  readonly type: number;
  bytes: Uint8Array;
  /** What it keeps until all of it has left. */
  weight?: number;
  /** Bytes behind these that are free: more that is small is gathered there. */
  room?: number;
  /** Nobody else's: freed when all has left. */
  readonly buffer?: ArrayBuffer;
}

/** What waits in a stream to be sent, and what it weighs. */
export class SendQueue extends Queue<Item> {
  /** Of DATA. */
  dataBytes = 0;
  /** Of OPEN and HEAD. */
  private headBytes = 0;
  /** Kept in memory: what has left of a frame goes with the rest of it. */
  heldBytes = 0;

  constructor(private readonly memory: Memory) {
    super();
  }

  /** To be sent. */
  get bytes(): number {
    return this.dataBytes + this.headBytes;
  }

  /** What waits costs memory by the piece too: a flood of small frames must fill it as well. */
  get cost(): number {
    return this.dataBytes + this.length * limits.frameCost;
  }

  override push(item: Item): void {
    super.push(item);
    if (item.bytes.length > 0) this.add(item, item.bytes.length);
  }

  /** DATA at the end, with what waits there where both are small: each piece by itself costs some hundred bytes. */
  pushData(bytes: Uint8Array): void {
    const { length } = bytes;
    const { last } = this;
    if (length >= limits.gatherBelowBytes || last?.type !== RecordType.data) {
      this.push({ type: RecordType.data, bytes });
      return;
    }
    const { room = 0 } = last;
    if (length <= room) {
      const { buffer, byteOffset } = last.bytes;
      const gathered = new Uint8Array(buffer, byteOffset, last.bytes.length + length);
      gathered.set(bytes, last.bytes.length);
      last.bytes = gathered;
      last.room = room - length;
      this.add(last, length);
    } else {
      const block = new Uint8Array(limits.gatherBelowBytes);
      block.set(bytes);
      this.push({ type: RecordType.data, bytes: block.subarray(0, length), room: block.length - length });
    }
  }

  override shift(): Item | undefined {
    const item = super.shift();
    if (item === undefined) return undefined;
    this.count(item, -item.bytes.length);
    this.weigh(-(item.weight ?? 0));
    // Up to 512 KiB of one read. Measured with 16 streams: left to the collector, each such buffer was new pages of memory
    // for the next read, a tenth of the CPU in all.
    item.buffer?.transfer(0);
    return item;
  }

  /** The first bytes of `item` have left. */
  cut(item: Item, bytes: number): void {
    item.bytes = item.bytes.subarray(bytes);
    this.count(item, -bytes);
  }

  override clear(): void {
    super.clear();
    this.weigh(-this.heldBytes);
    this.dataBytes = 0;
    this.headBytes = 0;
  }

  private add(item: Item, bytes: number): void {
    this.count(item, bytes);
    item.weight = (item.weight ?? 0) + bytes;
    this.weigh(bytes);
  }

  private count({ type }: Item, bytes: number): void {
    if (type === RecordType.data) this.dataBytes += bytes;
    else this.headBytes += bytes;
  }

  private weigh(bytes: number): void {
    this.heldBytes += bytes;
    this.memory.beside.add(bytes);
  }
}
