import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { Wire } from "../blackbox/raw/wire.ts";
import { FaultProxy } from "./fault-proxy.ts";
import type { Direction, FaultyPipe } from "./faulty-pipe.ts";

/** Far above what anything here takes: a wait that ends by it has failed. */
const quietMs = 300;

let target: Server;
let targets: Wire[];
let proxy: FaultProxy;

beforeEach(async () => {
  targets = [];
  target = createServer({ allowHalfOpen: true }, (socket: Socket) => {
    targets.push(new Wire(socket));
  });
  await new Promise<void>((resolve) => target.listen(0, "127.0.0.1", resolve));
  proxy = await FaultProxy.listen((target.address() as AddressInfo).port);
});
afterEach(async () => {
  await proxy.close();
  for (const wire of targets) wire.close();
  target.close();
});

/** A new connection through the proxy: who dialled, who was dialled, and what is between them. */
async function joined(): Promise<{ near: Wire; far: Wire; pipe: FaultyPipe }> {
  const index = proxy.pipes.length;
  const near = await Wire.connect(proxy.port);
  await near.send("?");
  const pipe = await proxy.pipe(index);
  while (targets[index] === undefined) await new Promise((resolve) => target.once("connection", resolve));
  const far = targets[index];
  expect(text(await far.exactly(1))).toBe("?");
  return { near, far, pipe };
}

const text = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString("latin1");
const quiet = (wire: Wire) =>
  Promise.race([
    wire.some().then((bytes) => `heard ${text(bytes)}`),
    new Promise((resolve) => setTimeout(resolve, quietMs, "quiet")),
  ]);

describe("a fault proxy", () => {
  test("passes bytes both ways untouched, and counts them", async () => {
    const { near, far, pipe } = await joined();
    const bytes = randomBytes(8 * 1024 * 1024);
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      const sent = from.send(bytes);
      expect(
        createHash("sha256")
          .update(await to.exactly(bytes.length))
          .digest("hex"),
      ).toBe(sha256);
      await sent;
    }
    expect([pipe.given("up"), pipe.given("down")]).toEqual([bytes.length + 1, bytes.length]);
    expect([pipe.taken("up"), pipe.held("up")]).toEqual([bytes.length + 1, 0]);
    expect(proxy.live).toEqual([pipe]);
  });

  test("lets an end half-close, and passes on a reset", async () => {
    const first = await joined();
    first.near.end();
    expect(await first.far.over).toBe("fin");
    await first.far.send("still here");
    expect(text(await first.near.exactly(10))).toBe("still here");
    first.far.end();
    expect(await first.near.over).toBe("fin");
    await first.pipe.over;

    const second = await joined();
    second.far.abort();
    expect(await second.near.over).toBe("reset");
    await second.pipe.over;
    expect(proxy.live).toEqual([]);
    expect(second.pipe.cut).toBeUndefined();
  });

  test.each([
    ["reset", "reset"],
    ["end", "fin"],
  ] as const)("cuts all pipes at once: %s is %s for both ends", async (fault, seen) => {
    const pairs = [await joined(), await joined()];
    expect(proxy.fault(fault).map((cut) => [cut.fault, cut.inFlight])).toEqual([
      [fault, false],
      [fault, false],
    ]);
    for (const { near, far } of pairs) expect([await near.over, await far.over]).toEqual([seen, seen]);
    expect(proxy.live).toEqual([]);
  });

  test.each(["silence", "swallow"] as const)(
    "a black hole (%s) stays open and says nothing, whatever its ends do, until the proxy closes",
    async (fault) => {
      const { near, far, pipe } = await joined();
      pipe.fault(fault);
      await near.send("lost");
      await far.send("lost");
      expect(await Promise.all([quiet(near), quiet(far)])).toEqual(["quiet", "quiet"]);
      near.abort();
      expect(await quiet(far)).toBe("quiet");
      expect(pipe.live).toBe(false);
      await proxy.close();
      expect(["fin", "reset"]).toContain(await far.over);
    },
  );

  test("silence stalls a sender, swallow does not", async () => {
    const silent = await joined();
    const hungry = await joined();
    silent.pipe.fault("silence");
    hungry.pipe.fault("swallow");
    const much = randomBytes(32 * 1024 * 1024);
    let stalled = true;
    void silent.near.send(much).then(() => {
      stalled = false;
    });
    await hungry.near.send(much);
    expect(stalled).toBe(true);
  });

  test.each([
    ["up", "end"],
    ["down", "end"],
    ["up", "reset"],
    ["down", "silence"],
  ] as const)(
    "cuts %s by %s at the byte that was chosen, and tells what was lost",
    async (direction, fault) => {
      const { near, far, pipe } = await joined();
      const [from, to] = direction === "up" ? [near, far] : [far, near];
      const before = pipe.given(direction);
      pipe.faultAfter(70_001, direction, fault);
      await from.send(randomBytes(100_000));
      await pipe.over;
      if (fault !== "reset") expect((await to.exactly(70_001)).length).toBe(70_001);
      if (fault === "end") expect(await to.some()).toBeUndefined();
      expect(pipe.given(direction)).toBe(before + 70_001);
      expect(pipe.cut?.lost[direction].from).toBe(before + 70_001);
      expect(pipe.cut?.inFlight).toBe(true);
    },
  );

  test("knows that bytes were in flight when it cuts, and those do not arrive", async () => {
    const { near, far, pipe } = await joined();
    pipe.setWeather({ delayMs: 100_000 }, "up");
    await far.send("through");
    expect(text(await near.exactly(7))).toBe("through");
    await near.send("under way");
    while (pipe.held("up") < 9) await new Promise((resolve) => setImmediate(resolve));
    expect(pipe.fault("end")).toMatchObject({ lost: { up: { from: 1, to: 10 } }, inFlight: true });
    expect(await far.some()).toBeUndefined();
  });

  test("delays each byte, and keeps their order when the delay ends", async () => {
    proxy.setWeather({ delayMs: 100 });
    const { near, far } = await joined();
    const sentAtMs = performance.now();
    await near.send("first ");
    await far.exactly(1);
    expect(performance.now() - sentAtMs).toBeGreaterThan(95);
    await near.send("second ");
    await near.send("third");
    proxy.setWeather({});
    await near.send(" fourth");
    expect(text(await far.exactly(24))).toBe("irst second third fourth");
  });

  test("throttles one direction, and its sender feels it", async () => {
    const { near, far, pipe } = await joined();
    pipe.setWeather({ bytesPerSecond: 1_000_000 }, "up");
    const startedAtMs = performance.now();
    void near.send(randomBytes(16 * 1024 * 1024));
    await far.exactly(200_000);
    expect(performance.now() - startedAtMs).toBeGreaterThan(180);
    expect(pipe.taken("up")).toBeLessThan(4 * 1024 * 1024);
    await far.send(randomBytes(1024 * 1024));
    expect((await near.exactly(1024 * 1024)).length).toBe(1024 * 1024);
  });

  test("refuses who arrives, or hears him and says nothing", async () => {
    proxy.arrivals = "refused";
    const refused = await Wire.connect(proxy.port).catch(() => undefined);
    if (refused !== undefined) expect(await refused.over).toBe("reset");
    proxy.arrivals = "silent";
    const silent = await Wire.connect(proxy.port);
    await silent.send("hello?");
    expect(await quiet(silent)).toBe("quiet");
    expect([proxy.pipes.length, targets.length]).toEqual([0, 0]);
    proxy.arrivals = "through";
    await joined();
    silent.close();
  });

  test("shows what an end sends to who asked to see it", async () => {
    const seen: Record<Direction, string> = { up: "", down: "" };
    await proxy.close();
    proxy = await FaultProxy.listen((target.address() as AddressInfo).port, {
      tap: () => (direction, bytes) => {
        seen[direction] += text(bytes);
      },
    });
    const { near, far } = await joined();
    await far.send("answer");
    await near.exactly(6);
    expect(seen).toEqual({ up: "?", down: "answer" });
  });
});
