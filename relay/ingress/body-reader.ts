import type { Memory } from "../../shared/mux/memory.ts";

const readerLimits = {
  /** Who sends little, or nothing for long, keeps a buffer of the first size; who fills them gets larger ones. */
  firstBytes: 4_096,
  mostBytes: 65_536,
  step: 4,
} as const;

/** Reads the body of a Request in pieces. What a read may bring is counted as long as it waits. */
export class BodyReader {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array> | ReadableStreamBYOBReader;
  readonly #memory: Memory;
  #size: number = readerLimits.firstBytes;

  constructor(body: ReadableStream<Uint8Array>, memory: Memory) {
    this.#reader = readerOf(body);
    this.#memory = memory;
  }

  /** The next bytes, the caller's to keep; undefined at the end. Rejects where the body breaks off. */
  async read(): Promise<Uint8Array | undefined> {
    const { firstBytes, mostBytes, step } = readerLimits;
    const { beside, isScarce } = this.#memory;
    const size = isScarce ? firstBytes : this.#size;
    beside.add(size);
    try {
      const { value, done } = await readInto(this.#reader, size);
      if (done || value === undefined) return undefined;
      const { length } = value;
      this.#size = length === size ? Math.min(mostBytes, size * step) : size;
      if (length * step <= size) this.#size = Math.max(firstBytes, size / step);
      return length * 2 < size ? value.slice() : value;
    } finally {
      beside.add(-size);
    }
  }

  /** Nobody wants the rest. */
  cancel(): Promise<void> {
    return this.#reader.cancel();
  }
}

/** Deno gives a body that came in one piece as a stream that is not of bytes: it is here already, and small. */
function readerOf(
  body: ReadableStream<Uint8Array>,
): ReadableStreamDefaultReader<Uint8Array> | ReadableStreamBYOBReader {
  try {
    return body.getReader({ mode: "byob" });
  } catch {
    return body.getReader();
  }
}

function readInto(
  reader: ReadableStreamDefaultReader<Uint8Array> | ReadableStreamBYOBReader,
  bytes: number,
): Promise<{ readonly value?: Uint8Array | undefined; readonly done: boolean }> {
  return reader instanceof ReadableStreamBYOBReader ? reader.read(new Uint8Array(bytes)) : reader.read();
}
