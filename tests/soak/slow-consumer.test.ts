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
/** Short windows and many of them: what else the machine does then falls on both sides alike. */
const rounds = 100;
const windowMs = 200;
const rampMs = 50;
/** Until what the slow visitor is sent stands in all buffers on the way: he takes the share of one until then. */
const fillMs = 2_000;
const minRatio = 0.95;

interface Download {
  left: number;
}

/** A relay and an agent with one link, and nobody else's visitors. */
interface Place {
  readonly relay: Relay;
  readonly agent: Program;
  readonly port: number;
}

const figures = new Figures();
const places: Place[] = [];
let origin: Bun.TCPSocketListener<Download>;

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
  for (let i = 0; i < 2; i++) {
    const relay = await startPortRelay(["--quiet"]);
    const args = ["tcp", String(origin.port), "--links", "1", "--quiet"];
    const { program: agent, url } = await startAgentOf(relay, await relay.token(), args);
    places.push({ relay, agent, port: Number(url.port) });
  }
}, testLimitMs);
afterAll(async () => {
  figures.print();
  for (const { agent, relay } of places) {
    await agent.kill();
    await relay.kill();
  }
  origin?.stop(true);
});

/** What 50 visitors get in a second who download at full speed, again and again. */
async function crowdRate({ port }: Place): Promise<number> {
  let bytes = 0;
  let over = false;
  const open = new Set<Bun.Socket<undefined>>();
  const download = () =>
    new Promise<void>((resolve, reject) => {
      let got = 0;
      void Bun.connect({
        ...{ hostname: "127.0.0.1", port },
        socket: {
          open: (socket) => {
            open.add(socket);
            socket.write("once");
          },
          data: (_, piece) => {
            got += piece.length;
            bytes += piece.length;
          },
          close: (socket) => {
            open.delete(socket);
            if (over || got === downloadBytes) resolve();
            else reject(new Error(`${got} bytes came instead of ${downloadBytes}`));
          },
          error: (_, error) => reject(error),
          connectError: (_, error) => reject(error),
        },
      }).catch(reject);
    });
  const loops = Promise.all(
    Array.from({ length: visitorCount }, async () => {
      while (!over) await download();
    }),
  );
  await Promise.race([Bun.sleep(rampMs), loops]);
  const [before, sinceMs] = [bytes, performance.now()];
  await Promise.race([Bun.sleep(windowMs), loops]);
  const rate = ((bytes - before) / (performance.now() - sinceMs)) * 1_000;
  over = true;
  for (const socket of open) socket.terminate();
  await loops;
  return rate;
}

/** One who takes little of what he is sent without end. */
class SlowVisitor {
  bytes = 0;
  readonly sinceMs = performance.now();
  readonly #pace: ReturnType<typeof setInterval>;

  private constructor(
    private readonly socket: Socket,
    bytesPerSecond: number,
  ) {
    this.#pace = setInterval(() => {
      const due = Math.floor(((performance.now() - this.sinceMs) / 1_000) * bytesPerSecond);
      while (this.bytes < due) {
        const got = socket.read(Math.min(due - this.bytes, socket.readableLength)) as Buffer | null;
        if (got === null) return;
        this.bytes += got.length;
      }
    }, 100);
  }

  static async connect(place: Place, bytesPerSecond: number): Promise<SlowVisitor> {
    const socket = connect(place.port, "127.0.0.1");
    socket.on("error", () => {});
    // Whoever listens to this reads by `read` alone.
    socket.on("readable", () => {});
    socket.write("endless");
    await once(socket, "readable");
    return new SlowVisitor(socket, bytesPerSecond);
  }

  get rate(): number {
    return this.bytes / ((performance.now() - this.sinceMs) / 1_000);
  }

  close(): void {
    clearInterval(this.#pace);
    this.socket.destroy();
  }
}

test.skipIf(relayRuntime === "workerd").each([
  ["1 KB/s", 1_000],
  ["1 MB/s", 1_000_000],
])(
  "a visitor who takes %s of what he is sent without end does not slow 50 others on the same link",
  async (name, pace) => {
    const [one, other] = places;
    if (one === undefined || other === undefined) throw new Error("there is no place");
    await crowdRate(one);
    await crowdRate(other);
    const beside: number[] = [];
    const alone: number[] = [];
    for (const [slowPlace, freePlace] of [
      [one, other],
      [other, one],
    ] as const) {
      const slow = await SlowVisitor.connect(slowPlace, pace);
      await Bun.sleep(fillMs);
      for (let round = 0; round < rounds / 2; round++) {
        if (round % 2 === 0) alone.push(await crowdRate(freePlace));
        beside.push(await crowdRate(slowPlace));
        if (round % 2 === 1) alone.push(await crowdRate(freePlace));
      }
      // He was there all the time, and he was slow.
      expect(slow.rate / pace).toBeGreaterThan(0.3);
      expect(slow.rate / pace).toBeLessThan(1.5);
      slow.close();
    }
    const ratio = median(beside.map((rate, round) => rate / (alone[round] ?? Number.NaN)));
    figures.note(`50 visitors on one link, beside one at ${name}`, {
      "MB/s with": Math.round(median(beside) / 1e6),
      "MB/s without": Math.round(median(alone) / 1e6),
      "ratio, median of the rounds": Number(ratio.toFixed(3)),
      "ratio of the medians": Number((median(beside) / median(alone)).toFixed(3)),
    });
    expect(ratio).toBeGreaterThanOrEqual(minRatio);
  },
  testLimitMs,
);
