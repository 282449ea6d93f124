import { limits } from "./mux/limits.ts";
import { ownBytes } from "./mux/own-bytes.ts";
import { Queue } from "./mux/queue.ts";

/** What a program sends at once fits, as does one datagram of the largest size; of more the latest are of use. */
const maxKeptBytes = 131_072;

/** The latest datagrams of a flow whose way is not open yet. */
export class KeptDatagrams {
  readonly #queue = new Queue<Uint8Array>();
  #bytes = 0;

  /** What is kept weighs: bytes, and what a datagram costs beside its own. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Above the bound the oldest go. */
  push(payload: Uint8Array): void {
    const kept = ownBytes(payload);
    this.#queue.push(kept);
    this.#bytes += kept.length + limits.frameCost;
    while (this.#bytes > maxKeptBytes) this.#shift();
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
