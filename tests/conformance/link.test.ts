import { describe, expect, test } from "bun:test";
import { openNats } from "../../relay/runtimes/nats.ts";
import type { Link } from "../../shared/link.ts";
import { memoryLinks } from "../../shared/links/memory.ts";
import { WebSocketLink } from "../../shared/links/websocket.ts";
import * as bunSockets from "../../shared/runtimes/bun-sockets.ts";
import * as nodeSockets from "../../shared/runtimes/node-sockets.ts";
import { systemClock as clock } from "../../shared/runtimes/system-clock.ts";
import type { Socket } from "../../shared/socket.ts";
import { MemoryNetwork } from "../cluster/memory-bus.ts";
import { NatsServer, natsServerPath } from "../cluster/nats-server.ts";
import { busLinks } from "./bus-links.ts";
import { eventStreamLinks } from "./event-stream-links.ts";
import { LinkEar } from "./link-ear.ts";
import { platformLinks } from "./platform-links.ts";
import { streamLinks } from "./stream-links.ts";

const mebibyte = 1_048_576;

/** The agent's end and the relay's end of one link. */
type MakeLinks = () => Promise<{ agent: Link; relay: Link; close(): void | Promise<void> }>;

function overSockets(sockets: typeof bunSockets | typeof nodeSockets): MakeLinks {
  return async () => {
    const { promise, resolve } = Promise.withResolvers<Socket>();
    const listener = await sockets.listen({ host: "127.0.0.1", port: 0 }, resolve);
    const near = await new Promise<Socket>((opened, reject) => {
      const failed = (reason: string): void => reject(new Error(reason));
      sockets.dial({ host: "127.0.0.1", port: listener.port }, 5_000, { opened, failed });
    });
    const far = await promise;
    listener.close();
    return {
      agent: new WebSocketLink(near, { role: "agent", clock }),
      relay: new WebSocketLink(far, { role: "relay", clock }),
      close() {
        near.destroy();
        far.destroy();
      },
    };
  };
}

/** Two processes' ends of one nats-server. */
async function overNats(): ReturnType<MakeLinks> {
  const server = await NatsServer.start();
  const open = () => openNats({ urls: server.url, cluster: "links", clock, fault() {} });
  const [one, two] = await Promise.all([open(), open()]);
  return {
    ...(await busLinks(one.bus, two.bus, clock)),
    async close() {
      await Promise.all([one.close(), two.close()]);
      await server.close();
    },
  };
}

const kinds: Readonly<Record<string, MakeLinks>> = {
  "memory link": async () => {
    const [agent, relay] = memoryLinks(clock);
    return { agent, relay, close() {} };
  },
  "WebSocket link over bun-sockets": overSockets(bunSockets),
  "WebSocket link over node-sockets": overSockets(nodeSockets),
  "event stream link over bun-sockets": () => eventStreamLinks(bunSockets),
  "event stream link over node-sockets": () => eventStreamLinks(nodeSockets),
  "link over a stream of a session": () => streamLinks(clock),
  "bus link over a bus in memory": async () => {
    const network = new MemoryNetwork(clock);
    return { ...(await busLinks(network.end(), network.end(), clock)), close() {} };
  },
  ...(natsServerPath !== undefined && { "bus link over NATS": overNats }),
  "message socket link over the platform's WebSocket": () => platformLinks(clock),
};

async function withLinks(make: MakeLinks, run: (agent: Link, relay: Link) => Promise<void>): Promise<void> {
  const { agent, relay, close } = await make();
  try {
    await run(agent, relay);
  } finally {
    await close();
  }
}

const sized = (length: number, seed: number): Uint8Array => {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + seed * 7) ^ (i >>> 8);
  return bytes;
};

for (const [kind, make] of Object.entries(kinds)) {
  describe(kind, () => {
    test("messages of every size arrive whole and in order, both ways", () =>
      withLinks(make, async (agent, relay) => {
        const sizes = [0, 1, 2, 3, 4, 5, 31, 32, 33, 125, 126, 127, 4_095, 65_535, 65_536];
        const left = new LinkEar(agent);
        const right = new LinkEar(relay);
        for (const [from, to] of [
          [left, right],
          [right, left],
        ] as const) {
          from.call((link) => {
            for (const [i, size] of sizes.entries()) link.send(sized(size, i));
          });
          await to.until(() => to.messages.length === sizes.length);
          expect(to.messages.map((message) => message.length)).toEqual(sizes);
          for (const [i, size] of sizes.entries()) expect(to.messages[i]).toEqual(sized(size, i));
        }
      }));

    test("a message is the receiver's own: changing it does not reach the sender", () =>
      withLinks(make, async (agent, relay) => {
        const sent = new Uint8Array([1, 2, 3]);
        const from = new LinkEar(agent);
        const to = new LinkEar(relay, { message: (bytes) => bytes.fill(9) });
        from.call((link) => link.send(sent));
        await to.until(() => to.bytes === 3);
        expect(sent).toEqual(new Uint8Array([1, 2, 3]));
      }));

    test("texts and messages keep their order", () =>
      withLinks(make, async (agent, relay) => {
        const order: string[] = [];
        const from = new LinkEar(agent);
        const to = new LinkEar(relay, {
          message: (bytes) => order.push(`${bytes[0]}`),
          text: (text) => order.push(text),
        });
        from.call((link) => {
          for (let i = 0; i < 50; i++) {
            link.send(new Uint8Array([i]));
            link.sendText(`ä${i}`);
          }
        });
        await to.until(() => to.texts.length === 50);
        expect(to.lives).toBeGreaterThan(0);
        expect(order).toEqual(Array.from({ length: 50 }, (_, i) => [`${i}`, `ä${i}`]).flat());
      }));

    test("a sender that heeds queued holds little, is told when it drained, and 64 MiB arrive", () =>
      withLinks(make, async (agent, relay) => {
        for (const [near, far] of [
          [agent, relay],
          [relay, agent],
        ] as const) {
          const message = sized(65_536, 1);
          let left = 1_024;
          let most = 0;
          const pump = (): void => {
            while (left > 0 && near.queued < mebibyte) {
              near.send(message);
              left--;
              most = Math.max(most, near.queued);
            }
          };
          const from = new LinkEar(near, { drained: pump });
          let right = true;
          const to = new LinkEar(far, {
            message: (bytes) => {
              right &&= bytes.length === 65_536 && bytes[60_000] === message[60_000];
            },
          });
          pump();
          await to.until(() => to.bytes === 64 * mebibyte);
          expect(right).toBe(true);
          // One message more, which a link may have made base64 of.
          expect(most).toBeLessThan(mebibyte + 90_000);
          if (most > 0) await from.until(() => from.drains > 0);
        }
      }));

    test("close comes after what was sent, and both ends hear its code and reason once", () =>
      withLinks(make, async (agent, relay) => {
        const left = new LinkEar(agent);
        const right = new LinkEar(relay);
        left.call((link) => {
          for (let i = 0; i < 32; i++) link.send(sized(65_536, i));
          link.close(4_001, "enough");
          link.close(1_000, "ignored");
          link.send(new Uint8Array(1));
          link.sendText("ignored");
        });
        await right.until(() => right.closes.length === 1);
        await left.until(() => left.closes.length === 1);
        expect(right.messages.length).toBe(32);
        expect(right.texts).toEqual([]);
        expect(right.closes).toEqual([[4_001, "enough"]]);
        expect(left.closes[0]?.[0]).toBe(4_001);
        right.call((link) => {
          link.close(1_000, "late");
          link.destroy();
          link.send(new Uint8Array(1));
        });
      }));

    test("both ends closing at once is fine", () =>
      withLinks(make, async (agent, relay) => {
        const left = new LinkEar(agent);
        const right = new LinkEar(relay);
        left.call((link) => link.close(1_001, "left"));
        right.call((link) => link.close(1_000, "right"));
        await left.until(() => left.closes.length === 1);
        await right.until(() => right.closes.length === 1);
      }));

    test("destroy reaches both ends as 1006, also from inside a message", () =>
      withLinks(make, async (agent, relay) => {
        const left = new LinkEar(agent);
        const right: LinkEar = new LinkEar(relay, {
          message: () =>
            right.call((link) => {
              link.destroy();
              link.destroy();
            }),
        });
        left.call((link) => {
          link.send(sized(10, 1));
          link.send(sized(10, 2));
        });
        await right.until(() => right.closes.length === 1);
        await left.until(() => left.closes.length === 1);
        expect(right.bytes).toBe(10);
        expect([...left.closes, ...right.closes]).toEqual([
          [1_006, ""],
          [1_006, ""],
        ]);
      }));
  });
}
