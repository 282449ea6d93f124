import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { agentProgram } from "../blackbox/programs/agent.ts";
import type { Program } from "../blackbox/programs/program.ts";
import type { Relay } from "../blackbox/programs/relay.ts";
import { startAgent } from "../blackbox/programs/tunnel.ts";
import { RawOrigin } from "../blackbox/raw/origin.ts";
import { record } from "./figures.ts";
import { ObjectView } from "./object-view.ts";
import { ByteSink, slowBytes, slowDownload, slowMessages, slowUpload } from "./slow-transfer.ts";
import { startWorkerdRelay } from "./workerd-relay.ts";
import { workersDate } from "./workers-date.ts";

const testLimitMs = 60_000;
const mebibyte = 1_048_576;
/** What one slow visitor may make an object hold. */
const mostHeldBytes = 8 * mebibyte;
const mebibytes = 32;
const pauses = 3;

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
async function tunnel(name: string, args: readonly string[] = []) {
  const origin = await RawOrigin.listen();
  origins.push(origin);
  agents.push(await startAgent(relay, { origin: origin.port, name, token: await relay.token(), args }));
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
  test.each([
    ["of an answer", "down", []],
    ["of an answer, over a link without WebSocket", "events", ["--transport", "sse"]],
  ])(
    "%s",
    async (_, name, args) => {
      const { origin, view, target } = await tunnel(name, args);
      const paused = () => view.still();
      const { sent, came } = await slowDownload({ origin, target, mebibytes, pauses, paused });
      expect(came).toBe(sent);
      const { heldBytes, onCreditBytes, busyMs } = await view.figures();
      // It was filled: else he was not slow.
      expect(onCreditBytes.most).toBeGreaterThan(65_536);
      expect(busyMs).toBeGreaterThan(0);
      expect(heldBytes.most).toBeLessThan(mostHeldBytes);
      record("bytesBufferedMost", { [name]: heldBytes.most });
      await isEmpty(view);
    },
    testLimitMs,
  );

  test.each([
    ["of an upload to a slow origin", "up", []],
    ["of an upload to a slow origin, over a link without WebSocket", "posts", ["--transport", "sse"]],
  ])(
    "%s",
    async (_, name, args) => {
      const { origin, view, target } = await tunnel(name, args);
      const paused = () => view.still();
      const { sent, came } = await slowUpload({ origin, target, mebibytes, pauses, paused });
      expect(came).toBe(sent);
      const { heldBytes, besideBytes } = await view.figures();
      expect(besideBytes.most).toBeGreaterThan(65_536);
      expect(heldBytes.most).toBeLessThan(mostHeldBytes);
      record("bytesBufferedMost", { [name]: heldBytes.most });
      await isEmpty(view);
    },
    testLimitMs,
  );

  test(
    "of a private tunnel's stream to a slow service",
    async () => {
      const name = "vault";
      const service = await ByteSink.listen();
      const start = (args: readonly string[], token: string) => {
        const program = agentProgram([...args, "--relay", relay.url, "--json"], {
          env: { UNDERPASS_TOKEN: token },
        });
        agents.push(program);
        return program.event("ready");
      };
      await start(["private", String(service.port), "--name", name], await relay.token());
      const caller = await relay.token({ sub: "bob", connect: [name] });
      const { url } = await start(["connect", name, "--listen", "127.0.0.1:0"], caller);
      const view = await ObjectView.of(relay, name);
      const target = { port: Number(new URL(String(url)).port), host: "" };
      const paused = () => view.still();
      const { sent, came } = await slowBytes({ target, mebibytes, pauses, paused }, service);
      expect(came).toBe(sent);
      const { heldBytes } = await view.figures();
      expect(heldBytes.most).toBeGreaterThan(65_536);
      expect(heldBytes.most).toBeLessThan(mostHeldBytes);
      record("bytesBufferedMost", { private: heldBytes.most });
      await isEmpty(view);
      service.close();
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
      expect(heldBytes.most).toBeLessThan(mostHeldBytes);
      record("bytesBufferedMost", { messages: heldBytes.most });
      await isEmpty(view);
    },
    testLimitMs,
  );
});
