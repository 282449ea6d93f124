const CR = 13;
const LF = 10;
const nothing = new Uint8Array(0);

/**
 * Finds the end of a head, and puts a head together that comes in pieces. The usual head, whole in one chunk, is not
 * copied; pieces are copied once into a growing buffer, and only what is new is looked at.
 */
export class HeadPieces {
  /** After `take`: what follows in the chunk that was given. */
  at = 0;
  /** Where the head stands that was found: in these bytes, from there to there, with its empty line. */
  head: Uint8Array = nothing;
  headFrom = 0;
  headTo = 0;
  /** How much of a head is kept here. */
  bytes = 0;
  readonly #maxHeadBytes: number;
  #buffer: Uint8Array = nothing;

  constructor(maxHeadBytes: number) {
    this.#maxHeadBytes = maxHeadBytes;
  }

  /** Reads on at `from` in `chunk`. undefined: more is needed. */
  take(chunk: Uint8Array, from: number): "found" | "too-large" | "bare-lf" | undefined {
    this.at = from;
    const before = this.bytes;
    if (before > 0) return this.#takePiece(chunk, from, before);
    const end = headEnd(chunk, from, Math.min(chunk.length, from + this.#maxHeadBytes));
    if (end < 0) return "bare-lf";
    if (end > 0) {
      this.at = end;
      return this.#found(chunk, from, end);
    }
    if (chunk.length - from > this.#maxHeadBytes) return "too-large";
    this.at = chunk.length;
    this.#add(chunk.subarray(from));
    return undefined;
  }

  /** Nothing of it is kept any more. */
  drop(): void {
    this.bytes = 0;
    this.#buffer = nothing;
    this.head = nothing;
  }

  #found(head: Uint8Array, from: number, to: number): "found" {
    this.head = head;
    this.headFrom = from;
    this.headTo = to;
    return "found";
  }

  #takePiece(chunk: Uint8Array, from: number, before: number): "found" | "too-large" | "bare-lf" | undefined {
    const piece = chunk.subarray(from, from + this.#maxHeadBytes - before);
    if (piece.length === 0) return "too-large";
    this.#add(piece);
    // The CRLFCRLF may begin three bytes before what is new; its first LF at most two.
    const end = headEnd(this.#buffer, Math.max(0, before - 2), this.bytes);
    if (end < 0) return "bare-lf";
    if (end === 0) {
      this.at = from + piece.length;
      return undefined;
    }
    this.at = from + end - before;
    const buffer = this.#buffer;
    this.drop();
    return this.#found(buffer, 0, end);
  }

  #add(piece: Uint8Array): void {
    const needed = this.bytes + piece.length;
    if (needed > this.#buffer.length) {
      const larger = new Uint8Array(
        Math.min(this.#maxHeadBytes, Math.max(needed, this.#buffer.length * 2, 512)),
      );
      larger.set(this.#buffer.subarray(0, this.bytes));
      this.#buffer = larger;
    }
    this.#buffer.set(piece, this.bytes);
    this.bytes = needed;
  }
}

/**
 * Where the head in `bytes` ends (after its empty line), looking from `from`; 0 when that is still to come, -1 at an LF
 * without CR: that is never right, and to wait for a CRLF after it would let two readers disagree. `indexOf` a line
 * takes half the time of a loop over the bytes (Bun 1.4.5: 140 against 300 ns for 500 bytes in 11 lines).
 */
function headEnd(bytes: Uint8Array, from: number, to: number): number {
  let at = bytes.indexOf(LF, from);
  while (at >= 0 && at < to) {
    if (at === 0 || bytes[at - 1] !== CR) return -1;
    if (at + 2 < to && bytes[at + 1] === CR && bytes[at + 2] === LF) return at + 3;
    at = bytes.indexOf(LF, at + 1);
  }
  return 0;
}
