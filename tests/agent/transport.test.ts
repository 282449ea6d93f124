import { describe, expect, test } from "bun:test";
import { Network } from "./transport-bench.ts";

describe("auto", () => {
  test("is a WebSocket as long as one can be had", async () => {
    const net = new Network();
    for (let i = 0; i < 3; i++) expect((await net.link()).transport).toBe("ws");
    net.clock.advance(3_600_000);
    expect([net.dialled(), net.moves]).toEqual(["ws ws ws", []]);
  });

  test("goes on without in the same dial where something between refuses it, and at once from then on", async () => {
    for (const fate of ["between", "trouble"] as const) {
      const net = new Network();
      net.fates.ws = fate;
      expect((await net.link()).transport).toBe("sse");
      expect((await net.link()).transport).toBe("sse");
      expect(net.dialled()).toBe("ws sse sse");
    }
  });

  test("never changes for a network that is down, nor for what the relay itself says", async () => {
    const net = new Network();
    net.fates.ws = "nobody";
    for (let i = 0; i < 20; i++) expect(await net.dial()).toBe("relay-unreachable");
    net.fates.ws = "relay";
    for (let i = 0; i < 20; i++) expect(await net.dial()).toBe("unauthorized!");
    expect(net.dialled()).toBe(Array(40).fill("ws").join(" "));
  });

  test("where both fail, a refusal that time may cure is told, and the relay's own before all; a WebSocket is next", async () => {
    const net = new Network();
    for (const [ws, sse, told] of [
      ["between", "between", "not-a-relay!"],
      ["between", "trouble", "relay-unreachable"],
      ["between", "nobody", "relay-unreachable"],
      ["trouble", "between", "relay-unreachable"],
      ["between", "relay", "unauthorized!"],
    ] as const) {
      net.fates.ws = ws;
      net.fates.sse = sse;
      expect([ws, sse, await net.dial()]).toEqual([ws, sse, told]);
      expect(net.dialled()).toBe("ws sse");
    }
    net.fates.ws = "link";
    expect((await net.link()).transport).toBe("ws");
  });

  test("a dial that was taken and not answered in time gives the other its turn; one that nobody took does not", async () => {
    const net = new Network();
    net.fates.ws = "silence";
    expect(await net.dial()).toBeUndefined();
    net.giveUp("late");
    expect((await net.link()).transport).toBe("sse");
    expect(net.dialled()).toBe("ws sse");

    const other = new Network();
    other.fates.ws = "silence";
    await other.dial();
    // It was not wanted any more, which says nothing.
    other.giveUp();
    await other.dial();
    other.giveUp("late");
    other.fates.sse = "silence";
    await other.dial();
    other.giveUp("late");
    await other.dial();
    expect(other.dialled()).toBe("ws ws sse ws");
  });

  test("while it goes without, what is between that does not let it any more is gone round by a WebSocket", async () => {
    const net = new Network();
    net.fates.ws = "between";
    await net.link();
    net.fates.ws = "link";
    net.fates.sse = "trouble";
    net.dialled();
    expect((await net.link()).transport).toBe("ws");
    expect(net.dialled()).toBe("sse ws");
  });
});

describe("WebSockets that die at once", () => {
  const lose = async (net: Network, afterMs: number, carried = false): Promise<void> => {
    const link = await net.link();
    net.clock.advance(afterMs);
    net.transport.linkLost(link, { carried });
  };

  test("twice in a row without having carried anything: the next dial goes without", async () => {
    const net = new Network();
    await lose(net, 9_000);
    await lose(net, 9_000);
    expect((await net.link()).transport).toBe("sse");
    expect(net.dialled()).toBe("ws ws sse");
  });

  test("also where each was given up only when the 10 s for its WELCOME were over", async () => {
    const net = new Network();
    await lose(net, 10_000);
    await lose(net, 10_000);
    expect((await net.link()).transport).toBe("sse");
  });

  test("four times in a row where they had carried something", async () => {
    const net = new Network();
    for (let i = 0; i < 4; i++) await lose(net, 5_000, true);
    await net.link();
    expect(net.dialled()).toBe("ws ws ws ws sse");
  });

  test("a link that lived longer makes up for those before it", async () => {
    const net = new Network();
    for (let i = 0; i < 5; i++) {
      await lose(net, 9_000);
      await lose(net, 12_000);
    }
    expect(net.dialled()).toBe(Array(10).fill("ws").join(" "));
  });

  test("links that die together die of one thing", async () => {
    const net = new Network();
    const links = [await net.link(), await net.link(), await net.link(), await net.link()];
    net.clock.advance(1_000);
    for (const link of links) net.transport.linkLost(link, { carried: false });
    await net.link();
    expect(net.dialled()).toBe("ws ws ws ws ws");
  });
});

test("a chosen transport is kept, whatever becomes of it", async () => {
  for (const choice of ["ws", "sse"] as const) {
    const net = new Network(choice);
    for (let i = 0; i < 5; i++) net.transport.linkLost(await net.link(), { carried: false });
    net.fates[choice] = "between";
    expect(await net.dial()).toBe("not-a-relay!");
    expect(new Set(net.dialled().split(" "))).toEqual(new Set([choice]));
    net.clock.advance(3_600_000);
    expect(net.moves).toEqual([]);
  }
});
