import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Program } from "../blackbox/programs/program.ts";
import type { Relay } from "../blackbox/programs/relay.ts";
import { startAgent } from "../blackbox/programs/tunnel.ts";
import { RawOrigin } from "../blackbox/raw/origin.ts";
import { record } from "./figures.ts";
import { ObjectView } from "./object-view.ts";
import { slowDownload, slowMessages, slowUpload } from "./slow-transfer.ts";
import { startWorkerdRelay } from "./workerd-relay.ts";
import { workersDate } from "./workers-date.ts";

const testLimitMs = 60_000;
const mebibyte = 1_048_576;
/** What one slow visitor may make an object hold. */
const slowBytes = 8 * mebibyte;
const mebibytes = 48;
const pauses = 4;

let relay: Relay;
const origins: RawOrigin[] = [];
const agents: Program[] = [];

beforeAll(async () => {
  relay = await startWorkerdRelay({});
}, testLimitMs);
afterAll(async () => {
  for (const agent of agents) await agent.kill();
  await relay?.stop();
  for (const origin of origins) await origin.close();
});

/** A tunnel with an object of its own, which has held nothing yet. */
async function tunnel(name: string) {
  const origin = await RawOrigin.listen();
  origins.push(origin);
  agents.push(await startAgent(relay, { origin: origin.port, name, token: await relay.token() }));
  const view = await ObjectView.of(relay, name);
  return { origin, view, target: { port: relay.port, host: relay.hostFor(name) } };
}

/** All is let go of, to the last byte: what was added was taken away. */
async function isEmpty(view: ObjectView): Promise<void> {
  const { onCreditBytes, besideBytes } = await view.until(
    ({ heldBytes, streams }) => heldBytes.now === 0 && streams === 0,
  );
  expect([onCreditBytes.now, besideBytes.now]).toEqual([0, 0]);
}

describe("with one slow visitor an object holds little", () => {
  test(
    "of an answer",
    async () => {
      const { origin, view, target } = await tunnel("down");
      const paused = () => view.still();
      const { sent, came } = await slowDownload({ origin, target, mebibytes, pauses, paused });
      expect(came).toBe(sent);
      const { heldBytes, onCreditBytes } = await view.figures();
      // It was filled: else he was not slow.
      expect(onCreditBytes.most).toBeGreaterThan(65_536);
      expect(heldBytes.most).toBeLessThan(slowBytes);
      record("bytesBufferedMost", { down: heldBytes.most });
      await isEmpty(view);
    },
    testLimitMs,
  );

  test(
    "of an upload to a slow origin",
    async () => {
      const { origin, view, target } = await tunnel("up");
      const paused = () => view.still();
      const { sent, came } = await slowUpload({ origin, target, mebibytes, pauses, paused });
      expect(came).toBe(sent);
      const { heldBytes, besideBytes } = await view.figures();
      expect(besideBytes.most).toBeGreaterThan(65_536);
      expect(heldBytes.most).toBeLessThan(slowBytes);
      record("bytesBufferedMost", { up: heldBytes.most });
      await isEmpty(view);
    },
    testLimitMs,
  );

  // An older workerd does not tell what it holds for a WebSocket (docs/deploy.md).
  test.skipIf(workersDate().name === "oldest")(
    "of messages to his WebSocket",
    async () => {
      const { origin, view, target } = await tunnel("messages");
      const paused = () => view.still();
      const { sent, came } = await slowMessages({ origin, target, mebibytes, pauses, paused }, 65_536);
      expect(came).toBe(sent);
      const { heldBytes, onCreditBytes } = await view.figures();
      expect(onCreditBytes.most).toBeGreaterThan(65_536);
      expect(heldBytes.most).toBeLessThan(slowBytes);
      record("bytesBufferedMost", { messages: heldBytes.most });
      await isEmpty(view);
    },
    testLimitMs,
  );
});
