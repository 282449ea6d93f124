import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Program } from "../blackbox/programs/program.ts";
import type { Relay } from "../blackbox/programs/relay.ts";
import { startAgent } from "../blackbox/programs/tunnel.ts";
import { RawOrigin } from "../blackbox/raw/origin.ts";
import { record } from "../edge/figures.ts";
import { ObjectView } from "../edge/object-view.ts";
import { slowDownload, slowUpload } from "../edge/slow-transfer.ts";
import { startWorkerdRelay } from "../edge/workerd-relay.ts";
import { Figures } from "./figures.ts";

const testLimitMs = 600_000;
const mebibytes = 512;
const pauses = 16;
const maxHeldBytes = 8 * 1_048_576;

const figures = new Figures();
let relay: Relay;
let origin: RawOrigin;
let agent: Program;

beforeAll(async () => {
  [relay, origin] = await Promise.all([startWorkerdRelay({}), RawOrigin.listen()]);
  agent = await startAgent(relay, { origin: origin.port, name: "bulk", token: await relay.token() });
}, testLimitMs);
afterAll(async () => {
  figures.print();
  await agent?.kill();
  await relay?.stop();
  await origin?.close();
});

test.each([
  ["down", slowDownload],
  ["up", slowUpload],
])(
  "512 MiB %s through a Durable Object, slowly: the hash is right, and less than 8 MiB wait in the object at any time",
  async (way, transfer) => {
    const view = await ObjectView.of(relay, "bulk");
    const target = { port: relay.port, host: relay.hostFor("bulk") };
    const paused = () => view.still();
    const sinceMs = performance.now();
    const { sent, came } = await transfer({ origin, target, mebibytes, pauses, paused });
    expect(came).toBe(sent);
    const { heldBytes } = await view.figures();
    figures.note(`512 MiB ${way} through an object`, {
      "held at most, MiB": Number((heldBytes.most / 1_048_576).toFixed(2)),
      seconds: Number(((performance.now() - sinceMs) / 1_000).toFixed(1)),
    });
    record("bytesBufferedMost", { [way]: heldBytes.most });
    expect(heldBytes.most).toBeLessThan(maxHeldBytes);
  },
  testLimitMs,
);
