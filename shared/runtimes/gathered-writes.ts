/** From here on a write goes its own way: copying it would cost what it saves. */
const writeAtOnceBytes = 16_384;
const maxGatheredBytes = 65_536;

/**
 * Gathers the small writes of one turn of the loop, and gives them to the system as one piece in the turn's microtasks:
 * a system call costs more than copying 16 KiB. A head and a body of 10 bytes as two writes, measured with
 * `wrk -c32` on Bun: 84-91k answers a second without, 110-136k with.
 */
export class GatheredWrites {
  readonly #toSystem: (bytes: Uint8Array) => void;
  readonly #pieces: Uint8Array[] = [];
  #bytes = 0;

  constructor(toSystem: (bytes: Uint8Array) => void) {
    this.#toSystem = toSystem;
  }

  /** Takes `bytes`, or gives them (and what came before them) to the system at once. */
  add(bytes: Uint8Array): void {
    const atOnce = bytes.length >= writeAtOnceBytes;
    if (atOnce || this.#bytes + bytes.length > maxGatheredBytes) this.flush();
    if (atOnce) {
      // Never kept here: who writes as much may use the buffer again as soon as nothing is queued.
      this.#toSystem(bytes);
      return;
    }
    if (this.#bytes === 0) queueMicrotask(this.flush);
    this.#pieces.push(bytes);
    this.#bytes += bytes.length;
  }

  readonly flush = (): void => {
    const [first] = this.#pieces;
    if (first === undefined) return;
    const all = this.#pieces.length === 1 ? first : this.#joined();
    this.drop();
    this.#toSystem(all);
  };

  drop(): void {
    this.#pieces.length = 0;
    this.#bytes = 0;
  }

  #joined(): Uint8Array {
    const all = new Uint8Array(this.#bytes);
    let at = 0;
    for (const bytes of this.#pieces) {
      all.set(bytes, at);
      at += bytes.length;
    }
    return all;
  }
}
