import { afterAll, beforeAll, expect, test } from "bun:test";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { Program } from "../blackbox/programs/program.ts";
import { type Relay, relayRuntime } from "../blackbox/programs/relay.ts";
import { startAgentOf, startPortRelay } from "../blackbox/programs/tcp-tunnel.ts";
import { Figures } from "./figures.ts";
import { median } from "./rounds.ts";

const testLimitMs = 600_000;
const visitorCount = 50;
/** Each of the 50 gets so much, closes, and comes again. */
const downloadBytes = 8 * 2 ** 20;
const rounds = 24;
const windowMs = 1_000;
/** Before it is measured: until what the slow one is sent stands in all buffers on the way. */
const fillMs = 250;
const minRatio = 0.95;

/** Bytes a second that the slow visitor takes; it is sent as much as goes. */
const paces = { none: undefined, "1 KB/s": 1_000, "1 MB/s": 1_000_000 } as const;
type Pace = keyof typeof paces;
const paceNames = Object.keys(paces) as Pace[];
const paceTickMs = 100;

const figures = new Figures();
let relay: Relay;
let agent: Program;
let port: number;
let origin: Bun.TCPSocketListener<Download>;

interface Download {
  left: number;
}

const piece = new Uint8Array(262_144).fill(120);

/** As much as the system takes now. */
function push(socket: Bun.Socket<Download>): void {
  const { data } = socket;
  while (data.left > 0) {
    const bytes = data.left < piece.length ? piece.subarray(0, data.left) : piece;
    const taken = socket.write(bytes);
    if (taken < 0) return;
    data.left -= taken;
    if (taken < bytes.length) return;
  }
  socket.end();
}

beforeAll(async () => {
  origin = Bun.listen<Download>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open: (socket) => void (socket.data = { left: 0 }),
      data: (socket, said) => {
        socket.data.left = said.toString() === "endless" ? Number.POSITIVE_INFINITY : downloadBytes;
        push(socket);
      },
      drain: push,
      error: () => {},
    },
  });
  relay = await startPortRelay(["--quiet"]);
  const args = ["tcp", String(origin.port), "--links", "1", "--quiet"];
  const started = await startAgentOf(relay, await relay.token(), args);
  agent = started.program;
  port = Number(started.url.port);
}, testLimitMs);
afterAll(async () => {
  figures.print();
  await agent?.kill();
  await relay?.kill();
  origin?.stop(true);
});

/** Visitors who download at full speed, again and again. */
class Crowd {
  bytes = 0;
  downloads = 0;
  #over = false;
  readonly #loops = Array.from({ length: visitorCount }, () => this.#loop());

  async #loop(): Promise<void> {
    while (!this.#over) {
      const got = await this.#download();
      if (got !== downloadBytes) throw new Error(`${got} bytes came instead of ${downloadBytes}`);
      this.downloads++;
    }
  }

  #download(): Promise<number> {
    return new Promise((resolve, reject) => {
      let got = 0;
      void Bun.connect({
        ...{ hostname: "127.0.0.1", port },
        socket: {
          open: (socket) => void socket.write("once"),
          data: (_, bytes) => {
            got += bytes.length;
            this.bytes += bytes.length;
          },
          close: () => resolve(got),
          error: (_, error) => reject(error),
          connectError: (_, error) => reject(error),
        },
      }).catch(reject);
    });
  }

  /** What all of them get in a second. Fails when one of them has failed. */
  async rate(): Promise<number> {
    const [bytes, sinceMs] = [this.bytes, performance.now()];
    await Promise.race([Bun.sleep(windowMs), Promise.all(this.#loops)]);
    return ((this.bytes - bytes) / (performance.now() - sinceMs)) * 1_000;
  }

  async stop(): Promise<void> {
    this.#over = true;
    await Promise.all(this.#loops);
  }
}

/** One who takes little of what he is sent without end. */
class SlowVisitor {
  bytes = 0;
  readonly #pace: ReturnType<typeof setInterval>;

  private constructor(
    private readonly socket: Socket,
    bytesPerSecond: number,
  ) {
    const sinceMs = performance.now();
    this.#pace = setInterval(() => {
      const due = ((performance.now() - sinceMs) / 1_000) * bytesPerSecond;
      while (this.bytes < due) {
        const got = socket.read(Math.min(due - this.bytes, socket.readableLength)) as Buffer | null;
        if (got === null) return;
        this.bytes += got.length;
      }
    }, paceTickMs);
  }

  static async connect(bytesPerSecond: number): Promise<SlowVisitor> {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => {});
    // Whoever listens to it reads by `read` alone.
    socket.on("readable", () => {});
    socket.write("endless");
    await once(socket, "readable");
    return new SlowVisitor(socket, bytesPerSecond);
  }

  close(): void {
    clearInterval(this.#pace);
    this.socket.destroy();
  }
}

test.skipIf(relayRuntime === "workerd")(
  "a visitor who hardly reads does not slow 50 others on the same link",
  async () => {
    const crowd = new Crowd();
    await crowd.rate();
    const rates: Record<Pace, number[]> = { none: [], "1 KB/s": [], "1 MB/s": [] };
    for (let round = 0; round < rounds; round++) {
      for (const name of round % 2 === 0 ? paceNames : paceNames.toReversed()) {
        const pace = paces[name];
        const slow = pace === undefined ? undefined : await SlowVisitor.connect(pace);
        await Bun.sleep(fillMs);
        const before = slow?.bytes ?? 0;
        rates[name].push(Math.round((await crowd.rate()) / 1e6));
        if (slow !== undefined && pace !== undefined) {
          const got = ((slow.bytes - before) / windowMs) * 1_000;
          // It was there all the time, and it was slow.
          expect(got).toBeGreaterThan(pace / 4);
          expect(got).toBeLessThan(pace * 2);
        }
        slow?.close();
      }
    }
    await crowd.stop();
    figures.note("downloads of 8 MiB by 50 visitors on one link", crowd.downloads);
    figures.note("MB/s of all, in each round", rates);
    for (const name of ["1 KB/s", "1 MB/s"] as const) {
      const ratio = median(rates[name]) / median(rates.none);
      figures.note(`throughput beside one at ${name}, times without it`, Number(ratio.toFixed(3)));
      expect(ratio).toBeGreaterThanOrEqual(minRatio);
    }
  },
  testLimitMs,
);
