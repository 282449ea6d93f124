/**
 * A program: requests at a fixed rate, whatever the answers do, over keep-alive sockets with one request at a time
 * each. A latency counts from the moment the request was due, so time spent waiting for a free socket, or for this
 * program itself, is in it (no coordinated omission). Options are one JSON argument; the result is one JSON line.
 */
import { quantile } from "../statistics.ts";

export interface PacedOptions {
  readonly host: string;
  readonly port: number;
  readonly authority: string;
  readonly path: string;
  readonly perSecond: number;
  readonly sockets: number;
  readonly seconds: number;
}

export interface PacedResult {
  readonly answered: number;
  readonly failed: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  /** How late this program itself was, p99. */
  readonly lagMs: number;
}

const finestTickMs = 0.25;
/** Not counted: sockets are opened and code gets warm. */
const warmUpSeconds = 1;
const patienceMs = 10_000;

const options = JSON.parse(process.argv[2] ?? "{}") as PacedOptions;
const request = `GET ${options.path} HTTP/1.1\r\nHost: ${options.authority}\r\n\r\n`;
const nowMs = (): number => performance.timeOrigin + performance.now();

const latencies: number[] = [];
const lags: number[] = [];
const waiting: number[] = [];
const idle: Visitor[] = [];
let waitingFrom = 0;
let failed = 0;
let unanswered = 0;
let countFromMs = Number.POSITIVE_INFINITY;

/** One keep-alive socket. */
class Visitor {
  #socket: Bun.Socket<undefined> | undefined;
  #dueMs = 0;
  #head = "";
  #bodyLeft = -1;
  #busy = false;

  async open(): Promise<this> {
    this.#socket = await Bun.connect<undefined>({
      hostname: options.host,
      port: options.port,
      socket: {
        open: (socket) => void socket.setNoDelay(true),
        data: (socket, bytes) => this.#data(socket, bytes),
        close: () => this.#lost(),
        error: () => {},
      },
    });
    return this;
  }

  send(dueMs: number): void {
    this.#dueMs = dueMs;
    this.#busy = true;
    this.#socket?.write(request); // far below what a socket buffers
  }

  close(): void {
    this.#busy = false;
    this.#socket?.terminate();
  }

  #data(socket: Bun.Socket<undefined>, bytes: Buffer): void {
    let rest = bytes.byteLength;
    if (this.#bodyLeft < 0) {
      this.#head += bytes.toString("latin1");
      const end = this.#head.indexOf("\r\n\r\n");
      if (end < 0) return;
      const length = Number(
        /\r\ncontent-length: *(\d+)/i.exec(this.#head.slice(0, end + 2))?.[1] ?? Number.NaN,
      );
      if (!this.#head.startsWith("HTTP/1.1 200") || Number.isNaN(length)) return void socket.terminate();
      rest = this.#head.length - end - 4;
      this.#bodyLeft = length;
      this.#head = "";
    }
    this.#bodyLeft -= rest;
    if (this.#bodyLeft > 0) return;
    this.#bodyLeft = -1;
    this.#busy = false;
    unanswered--;
    if (this.#dueMs >= countFromMs) latencies.push(nowMs() - this.#dueMs);
    const next = waiting[waitingFrom];
    if (next === undefined) {
      idle.push(this);
    } else {
      waitingFrom++;
      this.send(next);
    }
  }

  /** A lost socket is replaced, so that what waits is not stuck; its request counts as failed. */
  #lost(): void {
    if (!this.#busy) return;
    failed++;
    unanswered--;
    if (failed < options.sockets) new Visitor().open().then((visitor) => idle.push(visitor));
  }
}

const visitors = await Promise.all(Array.from({ length: options.sockets }, () => new Visitor().open()));
idle.push(...visitors);

const tickMs = Math.max(finestTickMs, 1_000 / options.perSecond);
const ticks = Math.ceil(((options.seconds + warmUpSeconds) * 1_000) / tickMs);
const startMs = nowMs() + 50;
countFromMs = startMs + warmUpSeconds * 1_000;
const metronome = new Worker(new URL("./metronome.ts", import.meta.url));
let seen = 0;
let due = 0;
await new Promise<void>((resolve) => {
  metronome.onmessage = ({ data: dueMs }: MessageEvent<number>) => {
    if (dueMs >= countFromMs) lags.push(nowMs() - dueMs);
    seen++;
    for (due += (options.perSecond * tickMs) / 1_000; due >= 1; due--) {
      unanswered++;
      const visitor = idle.shift();
      if (visitor === undefined) waiting.push(dueMs);
      else visitor.send(dueMs);
    }
    if (seen === ticks) resolve();
  };
  metronome.postMessage({ startMs, tickMs, ticks });
});
metronome.terminate();
for (const until = nowMs() + patienceMs; unanswered > 0 && nowMs() < until; ) await Bun.sleep(20);
for (const visitor of visitors) visitor.close();

const result: PacedResult = {
  answered: latencies.length,
  failed: failed + unanswered,
  p50Ms: quantile(latencies, 0.5),
  p99Ms: quantile(latencies, 0.99),
  p999Ms: quantile(latencies, 0.999),
  lagMs: quantile(lags, 0.99),
};
console.log(JSON.stringify(result));
process.exit(0);
