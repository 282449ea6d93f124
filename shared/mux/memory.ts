import { limits } from "./limits.ts";

/**
 * The one cap a process has for what its streams may hold. A stream's window is reserved here before the peer may use
 * it, so the sum of all that peers can make us hold stays under the cap. First windows get half, so that growth never makes a new stream wait; growth gets the other.
 */
export class Memory {
  private first = 0;
  private grown = 0;

  /** `capBytes`: the whole cap. */
  constructor(readonly capBytes: number) {}

  get reservedBytes(): number {
    return this.first + this.grown;
  }

  /** Room for a new stream's first window. false: refuse the stream. */
  admit(bytes: number): boolean {
    if (this.first + bytes > this.capBytes / 2) return false;
    this.first += bytes;
    return true;
  }

  /**
   * Whether somebody who has so many streams is to leave the rest to others: the last eighth of the first windows is for
   * those who have not half of them. An idle stream costs its owner nothing, and could stay for ever.
   */
  isHog(streams: number): boolean {
    const half = this.capBytes / 2;
    return this.first > half * 0.875 && streams * limits.initialWindowBytes > half / 2;
  }

  /** Room to grow a window by `bytes`. false: leave it as it is. */
  grow(bytes: number): boolean {
    if (this.grown + bytes > this.capBytes / 2) return false;
    this.grown += bytes;
    return true;
  }

  /** So little is left for growth that who has grown is to shrink. */
  get tight(): boolean {
    return this.grown > (this.capBytes / 2) * 0.75;
  }

  /** So much is left for growth that a window may grow in one step. */
  get ample(): boolean {
    return this.grown < (this.capBytes / 2) * 0.25;
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
