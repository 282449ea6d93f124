import { limits } from "./mux/limits.ts";
import { ownBytes } from "./mux/own-bytes.ts";
import { Queue } from "./mux/queue.ts";

export const keptLimits = {
  /** Who asks by UDP asks again soon: a few of the latest are all that can be of use. One of the largest size always fits. */
  maxCount: 16,
  maxBytes: 131_072,
} as const;

/** The latest few datagrams of a flow whose way is not open yet. */
export class KeptDatagrams {
  readonly #queue = new Queue<Uint8Array>();
  #bytes = 0;

  /** What is kept weighs: bytes, and what a datagram costs beside its own. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Above the bounds the oldest go. */
  push(payload: Uint8Array): void {
    const kept = ownBytes(payload);
    this.#queue.push(kept);
    this.#bytes += kept.length + limits.frameCost;
    while (this.#queue.length > keptLimits.maxCount || this.#bytes > keptLimits.maxBytes) this.#shift();
  }

  /** Gives all away, in order. */
  drain(give: (payload: Uint8Array) => void): void {
    for (let one = this.#shift(); one !== undefined; one = this.#shift()) give(one);
  }

  #shift(): Uint8Array | undefined {
    const one = this.#queue.shift();
    if (one !== undefined) this.#bytes -= one.length + limits.frameCost;
    return one;
  }
}
