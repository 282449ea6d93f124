import type { Code } from "../../shared/errors.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";

/** What one side said or heard on a stream, in order; neighbouring DATA is one entry. */
export type Said = ["head" | "data" | "end" | "left", number];

function add(said: Said[], kind: Said[0], size: number): void {
  const last = said.at(-1);
  if (kind === "data" && last?.[0] === "data") last[1] += size;
  else said.push([kind, size]);
}

/** Byte `offset` of what is written on a stream, so that a reader can check each byte without a copy of it all. */
function pattern(seed: number, offset: number): number {
  return (seed * 31 + offset * 7 + (offset >>> 8)) & 0xff;
}

/** One side of one stream in a test: writes a known pattern, checks what comes, reads quickly or when it is told to. */
export class Talk implements StreamHandler {
  readonly said: Said[] = [];
  readonly heard: Said[] = [];
  /** DATA bytes. */
  written = 0;
  read = 0;
  /** Delivered and not yet taken by this reader. */
  held = 0;
  /** `write` said false, and `writable` has not come since. */
  full = false;
  ended = false;
  /** This side has reset: nothing may be heard after. */
  deaf = false;
  heardReset: Code | undefined;
  /** This side has said END and `no-error`: all that it said is to be heard. */
  finished = false;
  /** Called when there is room again. */
  onWritable: (() => void) | undefined;
  private bound: Stream | undefined;

  constructor(
    readonly side: "agent" | "relay",
    /** A slow reader takes what `take` says; a quick one all at once. */
    readonly slow: boolean,
  ) {}

  bind(stream: Stream): this {
    this.bound = stream;
    return this;
  }

  get stream(): Stream {
    if (this.bound === undefined) throw new Error("not bound");
    return this.bound;
  }

  write(size: number): void {
    if (this.ended || this.deaf || this.stream.closed) return;
    const bytes = new Uint8Array(size);
    for (let at = 0; at < size; at++) bytes[at] = pattern(this.seed(this.side), this.written + at);
    this.written += size;
    if (size > 0) add(this.said, "data", size);
    this.full = !this.stream.give(bytes);
  }

  writeHead(size: number): void {
    if (this.ended || this.deaf || this.stream.closed) return;
    add(this.said, "head", size);
    this.stream.head(new Uint8Array(size));
  }

  writeEnd(): void {
    if (this.ended || this.deaf || this.stream.closed) return;
    this.ended = true;
    add(this.said, "end", 0);
    this.stream.end();
  }

  writeLeft(): void {
    if (!this.ended || this.deaf || this.stream.closed || this.said.at(-1)?.[0] === "left") return;
    add(this.said, "left", 0);
    this.stream.left();
  }

  writeReset(code: Code): void {
    this.deaf = true;
    this.finished = this.ended && code === "no-error" && !this.stream.closed;
    this.stream.reset(code);
  }

  take(size: number): void {
    if (this.held === 0 || this.deaf) return;
    this.held = Math.max(0, this.held - size);
    this.stream.held(this.held);
  }

  // StreamHandler

  head(fields: Uint8Array): void {
    this.listen();
    add(this.heard, "head", fields.length);
  }

  data(bytes: Uint8Array): void {
    this.listen();
    const seed = this.seed(this.side === "agent" ? "relay" : "agent");
    for (let at = 0; at < bytes.length; at++) {
      if (bytes[at] !== pattern(seed, this.read + at)) throw new Error(`byte ${this.read + at} is another`);
    }
    this.read += bytes.length;
    if (bytes.length > 0) add(this.heard, "data", bytes.length);
    if (this.slow) this.held += bytes.length;
    else this.stream.held(0);
  }

  end(): void {
    this.listen();
    add(this.heard, "end", 0);
  }

  left(): void {
    this.listen();
    add(this.heard, "left", 0);
  }

  reset(code: Code): void {
    this.listen();
    this.heardReset = code;
    this.held = 0;
  }

  writable(): void {
    this.listen();
    if (!this.full) throw new Error("`writable` without a `false` before it");
    this.full = false;
    this.onWritable?.();
  }

  private listen(): void {
    if (this.deaf) throw new Error("an event after one's own reset");
    if (this.heardReset !== undefined) throw new Error("an event after the reset");
  }

  private seed(side: "agent" | "relay"): number {
    return this.stream.id * 2 + (side === "agent" ? 1 : 0);
  }
}
