import { describe, expect, test } from "bun:test";
import type { Clock } from "../../shared/clock.ts";
import { eventStreamLimits } from "../../shared/links/event-stream-limits.ts";
import * as bunSockets from "../../shared/runtimes/bun-sockets.ts";
import { systemClock } from "../../shared/runtimes/system-clock.ts";
import { type EventStreamPair, eventStreamLinks, type Meddling } from "./event-stream-links.ts";
import { LinkEar } from "./link-ear.ts";

async function withPair(
  meddling: Meddling,
  run: (pair: EventStreamPair, agent: LinkEar, relay: LinkEar) => Promise<void>,
): Promise<void> {
  const pair = await eventStreamLinks(bunSockets, meddling);
  try {
    await run(pair, new LinkEar(pair.agent), new LinkEar(pair.relay));
  } finally {
    pair.close();
  }
}

/** Time that goes twenty times as fast: what waits and gives up does so soon. */
const hurried: Clock = {
  now: () => systemClock.now() * 20,
  date: () => systemClock.date(),
  at: (atMs, run) => systemClock.at(atMs / 20, run),
  soon: (run) => systemClock.soon(run),
};

const numbered = (number: number, length: number): Uint8Array => {
  const bytes = new Uint8Array(length).fill(number);
  bytes[0] = number >> 8;
  return bytes;
};

describe("POSTs", () => {
  test("whose answer is lost come again with the same number, and nothing comes twice", async () => {
    const tries = new Map<number, number>();
    const post = (number: number) => {
      const before = tries.get(number) ?? 0;
      tries.set(number, before + 1);
      return before === 0 && number % 3 === 1 ? "cut" : before < 2 && number % 3 === 2 ? "drop" : undefined;
    };
    await withPair({ post }, async (_pair, agent, relay) => {
      for (let i = 0; i < 30; i++) {
        agent.call((link) => link.send(numbered(i, 40_000)));
        // Each in a POST of its own, as long as there is room.
        await Promise.resolve();
      }
      await relay.until(() => relay.messages.length === 30);
      agent.call((link) => link.sendText("done"));
      await relay.until(() => relay.texts.length === 1);
      expect(relay.messages.map((message) => message[1])).toEqual(Array.from({ length: 30 }, (_, i) => i));
      expect(tries.get(1)).toBe(2);
      expect(tries.get(2)).toBe(3);
      expect(Math.max(...tries.keys())).toBeGreaterThan(5);
      expect(agent.closes).toEqual([]);
    });
  });

  test("that nobody answers end the link after some tries, and no sooner", async () => {
    const tries = new Map<number, number>();
    const post = (number: number) => {
      tries.set(number, (tries.get(number) ?? 0) + 1);
      return number === 2 ? "drop" : undefined;
    };
    await withPair({ post, clock: hurried }, async (_pair, agent, relay) => {
      agent.call((link) => link.send(numbered(1, 10)));
      await relay.until(() => relay.messages.length === 1);
      agent.call((link) => link.send(numbered(2, 10)));
      await agent.until(() => agent.closes.length === 1);
      expect(agent.closes).toEqual([[1_006, ""]]);
      await relay.until(() => relay.closes.length === 1);
      expect(tries.get(2)).toBe(8);
      expect(tries.get(1)).toBe(1);
    });
  });

  test("carry many messages each when there are many, on four sockets at most", async () => {
    const numbers: number[] = [];
    const post = (number: number): undefined => void numbers.push(number);
    await withPair({ post }, async (pair, agent, relay) => {
      agent.call((link) => {
        for (let i = 0; i < 2_000; i++) link.send(numbered(i, 100));
      });
      await relay.until(() => relay.messages.length === 2_000);
      expect(numbers.length).toBeLessThan(12);
      expect(pair.postSockets).toBeLessThanOrEqual(eventStreamLimits.maxPosts);
      // One at a time needs one socket only.
      for (let i = 0; i < 20; i++) {
        agent.call((link) => link.send(numbered(i, 10)));
        await relay.until(() => relay.messages.length === 2_001 + i);
      }
      expect(pair.postSockets).toBeLessThanOrEqual(eventStreamLimits.maxPosts);
    });
  });

  test("never wait for more than what is queued tells", async () => {
    await withPair({}, async (pair, agent, relay) => {
      agent.call((link) => {
        link.send(new Uint8Array(60_000));
        expect(link.queued).toBeGreaterThanOrEqual(60_000);
        for (let i = 0; i < 9; i++) link.send(new Uint8Array(60_000));
        expect(link.queued).toBeGreaterThanOrEqual(600_000);
      });
      await relay.until(() => relay.bytes === 600_000);
      await agent.until(() => pair.agent.queued === 0);
      expect(agent.drains).toBeGreaterThan(0);
    });
  });
});
