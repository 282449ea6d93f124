import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { join } from "node:path";
import { finished } from "node:stream/promises";
import { type Nginx, startNginx } from "../blackbox/origins/nginx.ts";
import { residentMiB } from "../blackbox/programs/memory.ts";
import { startTunnel, type Tunnel } from "../blackbox/programs/tunnel.ts";
import { Visitor } from "../blackbox/raw/visitor.ts";
import { Figures } from "./figures.ts";

const testLimitMs = 1_800_000;
const mebibytes = 1024;
const maxResidentMiB = 200;
const slowBytesPerSecond = 100_000;

const figures = new Figures();
let nginx: Nginx;
let tunnel: Tunnel;
let sha256: string;

beforeAll(async () => {
  nginx = await startNginx();
  const hash = createHash("sha256");
  const file = createWriteStream(join(nginx.root, "big"));
  for (let i = 0; i < mebibytes; i++) {
    const block = randomBytes(1024 * 1024);
    hash.update(block);
    if (!file.write(block)) await new Promise<void>((resolve) => file.once("drain", resolve));
  }
  file.end();
  await finished(file);
  sha256 = hash.digest("hex");
  tunnel = await startTunnel({ origin: nginx.port });
}, testLimitMs);
afterAll(async () => {
  figures.print();
  await tunnel?.close();
  await nginx?.stop();
});

test(
  "1 GiB down and up have the same hash beside a slow reader, and both sides stay under 200 MiB",
  async () => {
    using slow = await Visitor.connect(tunnel.target);
    await slow.send("GET /big HTTP/1.1\r\nHost: HOST\r\n\r\n");
    const { body } = await slow.answer();
    let slowBytes = 0;
    let busy = false;
    // The pace is what is tested: ten pieces a second.
    const pace = setInterval(async () => {
      if (busy) return;
      busy = true;
      for (let wanted = slowBytesPerSecond / 10; wanted > 0; ) {
        const piece = await slow.wire.some(wanted).catch(() => undefined);
        if (piece === undefined) break;
        wanted -= piece.length;
        slowBytes += piece.length;
      }
      busy = false;
    }, 100);
    try {
      const downAt = performance.now();
      using down = await Visitor.connect(tunnel.target);
      await down.send("GET /big HTTP/1.1\r\nHost: HOST\r\n\r\n");
      expect(await (await down.answer()).body.sha256()).toEqual({ bytes: mebibytes * 1024 * 1024, sha256 });
      figures.note("down MiB/s", Math.round(mebibytes / ((performance.now() - downAt) / 1000)));

      const upAt = performance.now();
      using up = await Visitor.connect(tunnel.target);
      await up.send(
        `PUT /put/up HTTP/1.1\r\nHost: HOST\r\nContent-Length: ${mebibytes * 1024 * 1024}\r\n\r\n`,
      );
      for await (const piece of createReadStream(join(nginx.root, "big"), { highWaterMark: 1024 * 1024 })) {
        await up.wire.send(piece as Buffer);
      }
      expect((await up.answer()).status).toBe(201);
      figures.note("up MiB/s", Math.round(mebibytes / ((performance.now() - upAt) / 1000)));
      const hash = createHash("sha256");
      for await (const piece of createReadStream(join(nginx.root, "put/up"))) hash.update(piece as Buffer);
      expect(hash.digest("hex")).toBe(sha256);
    } finally {
      clearInterval(pace);
    }
    expect(body.complete).toBe(false);
    expect(slowBytes).toBeGreaterThan(slowBytesPerSecond / 2);
    figures.note("slow reader bytes", slowBytes);
    for (const [side, pid] of [
      ["relay", tunnel.relay.pid],
      ["agent", tunnel.agent.pid],
    ] as const) {
      if (pid === undefined) continue;
      const memory = await residentMiB(pid);
      figures.note(`${side} MiB`, memory);
      expect(memory.peak).toBeLessThan(maxResidentMiB);
    }
  },
  testLimitMs,
);
