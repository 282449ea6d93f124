import { Gauge } from "./gauge.ts";
import { limits } from "./limits.ts";

/** What a process may hold beside its cap, where it has little: see each for what holds elsewhere. */
export interface MemoryBounds {
  /** For growth, of the cap. */
  readonly growthBytes: number;
  /** Of one stream, and of one session. */
  readonly maxWindowBytes: number;
  readonly maxFlightBytes: number;
  readonly maxDatagramBytes: number;
  /** Of `Memory.beside`: from here on memory is scarce. */
  readonly besideBytes: number;
}

/**
 * The one cap a process has for what its streams may hold. A stream's window is reserved here before the peer may use
 * it, so the sum of all that peers can make us hold stays under the cap. First windows get half, so that growth never makes a new stream wait; growth gets the other.
 */
export class Memory {
  readonly bounds: MemoryBounds;
  /** All that is held, as far as it is counted. */
  readonly held = new Gauge();
  /** Of that: what came on credit, and so has its place under the cap. */
  readonly onCredit = new Gauge(this.held);
  /** All else: what waits for peers or for their acknowledgement, and what visitors send. */
  readonly beside = new Gauge(this.held);
  private first = 0;
  private grown = 0;

  /** `capBytes`: the whole cap. */
  constructor(
    readonly capBytes: number,
    bounds: Partial<MemoryBounds> = {},
  ) {
    this.bounds = {
      growthBytes: capBytes / 2,
      maxWindowBytes: limits.maxWindowBytes,
      maxFlightBytes: limits.maxFlightBytes,
      maxDatagramBytes: limits.maxPendingDatagramBytes,
      besideBytes: Number.POSITIVE_INFINITY,
      ...bounds,
    };
  }

  get reservedBytes(): number {
    return this.first + this.grown;
  }

  /** Room for so many bytes more beside the cap. */
  hasRoom(bytes: number): boolean {
    return this.beside.now + bytes <= this.bounds.besideBytes;
  }

  /** So much is held beside the cap that nobody may hold more there than a small share of his own. */
  get isScarce(): boolean {
    return this.beside.now >= this.bounds.besideBytes;
  }

  /** Shares alone can't have made it so: peers that are gone have left much that nobody takes. Nobody new is let in. */
  get isFull(): boolean {
    return this.beside.now >= 2 * this.bounds.besideBytes;
  }

  private get firstBytes(): number {
    return this.capBytes - this.bounds.growthBytes;
  }

  /** Room for a new stream's first window; `headBytes`: what waits to be sent with it. false: refuse the stream. */
  admit(bytes: number, headBytes = 0): boolean {
    if (this.isFull || (this.isScarce && headBytes > limits.scarceHeadBytes)) return false;
    if (this.first + bytes > this.firstBytes) return false;
    this.first += bytes;
    return true;
  }

  /**
   * Whether somebody who has so many streams is to leave the rest to others: the last eighth of the first windows is for
   * those who have not half of them. An idle stream costs its owner nothing, and could stay for ever.
   */
  isHog(streams: number): boolean {
    const { firstBytes } = this;
    return this.first > firstBytes * 0.875 && streams * limits.initialWindowBytes > firstBytes / 2;
  }

  /** Room to grow a window by `bytes`. false: leave it as it is. */
  grow(bytes: number): boolean {
    if (this.grown + bytes > this.bounds.growthBytes) return false;
    this.grown += bytes;
    return true;
  }

  /** So little is left for growth that who has grown is to shrink. */
  get tight(): boolean {
    return this.grown > this.bounds.growthBytes * 0.75;
  }

  /** So much is left for growth that a window may grow in one step. */
  get ample(): boolean {
    return this.grown < this.bounds.growthBytes * 0.25;
  }

  /** A window has shrunk by `bytes`, and the peer can't send them any more. */
  shrink(bytes: number): void {
    this.grown -= bytes;
  }

  /** Gives back what a stream had. */
  release(firstBytes: number, grownBytes: number): void {
    this.first -= firstBytes;
    this.grown -= grownBytes;
  }
}

/** What a stream reserves at first: its window, but for one of datagrams, where DATA is a fault and not kept. */
export function firstReserve(kind: number, window: number): number {
  return kind === limits.datagramKind ? limits.datagramStreamBytes : window;
}
