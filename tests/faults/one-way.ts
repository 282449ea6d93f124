import type { Socket } from "node:net";

/** How bytes travel: as they come where a member is absent. */
export interface Weather {
  /** How long each byte is under way. */
  readonly delayMs?: number;
  readonly bytesPerSecond?: number;
}

interface Piece {
  readonly bytes: Buffer;
  readonly dueMs: number;
}

/** Above this many bytes under way the source is not read any more, so that it feels the way's narrowness. */
const maxHeldBytes = 1024 * 1024;
/** A narrow way is passed in steps of so long. */
const stepMs = 5;

/** One direction of a pipe: bytes taken from `source`, under way for a while, given to `target` in order. */
export class OneWay {
  /** Bytes taken from the source. */
  taken = 0;
  /** Bytes handed to the target's socket. */
  given = 0;
  weather: Weather = {};
  readonly #queue: Piece[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #freeAtMs = 0;
  #lastDueMs = 0;
  #blocked = false;
  #ended = false;
  #stopped = false;
  #stop: { readonly at: number; readonly reached: () => void } | undefined;

  constructor(
    readonly source: Socket,
    readonly target: Socket,
  ) {
    source.on("data", (bytes: Buffer) => this.#take(bytes));
    source.on("end", () => {
      this.#ended = true;
      this.#pump();
    });
    target.on("drain", () => {
      this.#blocked = false;
      this.#pump();
    });
  }

  /** Bytes that were taken and not handed on: what a cut at this moment loses, whatever the sockets still hold. */
  get held(): number {
    return this.taken - this.given;
  }

  /** Calls `reached` once exactly `bytes` more were given, and gives nothing after them before it returns. */
  stopAfter(bytes: number, reached: () => void): void {
    this.#stop = { at: this.given + bytes, reached };
    this.#pump();
  }

  setWeather(weather: Weather): void {
    this.weather = weather;
    this.#freeAtMs = 0;
    this.#pump();
  }

  /** Gives nothing any more; what is held is lost. */
  stop(): void {
    this.#stopped = true;
    this.#queue.length = 0;
    this.#stop = undefined;
    clearTimeout(this.#timer);
  }

  #take(bytes: Buffer): void {
    if (this.#stopped) return;
    this.taken += bytes.length;
    this.#lastDueMs = Math.max(this.#lastDueMs, performance.now() + (this.weather.delayMs ?? 0));
    this.#queue.push({ bytes, dueMs: this.#lastDueMs });
    this.#pump();
    if (this.taken - this.given > maxHeldBytes) this.source.pause();
  }

  #pump(): void {
    clearTimeout(this.#timer);
    while (!this.#stopped && !this.#blocked) {
      if (this.#stop !== undefined && this.given >= this.#stop.at) {
        const { reached } = this.#stop;
        this.#stop = undefined;
        reached();
        continue;
      }
      const first = this.#queue[0];
      if (first === undefined) break;
      const nowMs = performance.now();
      const waitMs = Math.max(first.dueMs, this.#freeAtMs) - nowMs;
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.#pump(), waitMs);
        return;
      }
      this.#give(first, nowMs);
    }
    if (this.#ended && this.#queue.length === 0 && !this.#stopped) this.target.end();
  }

  #give(first: Piece, nowMs: number): void {
    const { bytesPerSecond } = this.weather;
    let length = first.bytes.length;
    if (bytesPerSecond !== undefined)
      length = Math.min(length, Math.max(1, Math.floor((bytesPerSecond * stepMs) / 1000)));
    if (this.#stop !== undefined) length = Math.min(length, this.#stop.at - this.given);
    if (length === first.bytes.length) this.#queue.shift();
    else this.#queue[0] = { bytes: first.bytes.subarray(length), dueMs: first.dueMs };
    if (bytesPerSecond !== undefined)
      this.#freeAtMs = Math.max(this.#freeAtMs, nowMs - stepMs) + (length / bytesPerSecond) * 1000;
    this.given += length;
    this.#blocked = !this.target.write(first.bytes.subarray(0, length));
    if (this.source.isPaused() && this.taken - this.given <= maxHeldBytes / 2) this.source.resume();
  }
}
