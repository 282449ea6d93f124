import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Transport } from "../../agent/dial/transport.ts";
import { RelayRefusal } from "../../shared/dial/relay-refusal.ts";
import type { Link, TransportName } from "../../shared/link.ts";
import { FakeRelay, passes, setUp } from "./agent-bench.ts";
import { type Fate, Network } from "./transport-bench.ts";
import { VirtualClock } from "./virtual-clock.ts";

describe("while links go without, a WebSocket is tried", () => {
  const without = async (random?: number): Promise<Network> => {
    const net = new Network("auto", random);
    net.fates.ws = "between";
    await net.link();
    net.dialled();
    return net;
  };

  test("after 30 s, 1, 2, 4, 8 minutes, and then each 10", async () => {
    const net = await without();
    net.clock.advance(3_000_000);
    const waits = net.moves.map(([atMs], i) => (atMs - (net.moves[i - 1]?.[0] ?? 0)) / 1_000);
    expect(waits).toEqual([30, 60, 120, 240, 480, 600, 600, 600]);
    expect(new Set(net.moves.map(([, how]) => how))).toEqual(new Set(["one"]));
  });

  test("with up to a fifth of jitter", async () => {
    for (const [random, firstMs] of [
      [0, 24_000],
      [0.999_999, 36_000],
    ] as const) {
      const net = await without(random);
      net.clock.advance(firstMs - 10);
      expect(net.moves).toEqual([]);
      net.clock.advance(20);
      expect(net.moves.length).toBe(1);
    }
  });

  test("beside the link that is there: failing says nothing that ends an agent, and the next dial goes without", async () => {
    for (const fate of ["between", "trouble"] as const) {
      const net = await without();
      net.clock.advance(30_000);
      net.fates.ws = fate;
      expect(await net.dial()).toBe("upgrade-required");
      expect((await net.link()).transport).toBe("sse");
      expect(net.dialled()).toBe("ws sse");
    }
    const net = await without();
    net.clock.advance(30_000);
    net.fates.ws = "silence";
    await net.dial();
    net.giveUp("late");
    expect((await net.link()).transport).toBe("sse");
  });

  test("in place of the next dial where no link is there to keep, and that dial goes on without", async () => {
    const net = await without();
    net.left = 0;
    net.clock.advance(30_000);
    expect((await net.link()).transport).toBe("sse");
    expect((await net.link()).transport).toBe("sse");
    expect(net.dialled()).toBe("ws sse sse");
  });

  test("and once one has lived for 12 s all follow, those that could not just then somewhat later", async () => {
    const net = await without();
    net.clock.advance(30_000);
    net.fates.ws = "link";
    expect((await net.link()).transport).toBe("ws");
    net.clock.advance(9_000);
    // Who dials meanwhile stays where it is safe.
    expect((await net.link()).transport).toBe("sse");
    expect(net.moves.splice(0)).toEqual([[30_000, "one"]]);
    net.clock.advance(3_000);
    expect(net.moves.splice(0)).toEqual([[42_000, "all"]]);
    expect((await net.link()).transport).toBe("ws");
    net.clock.advance(30_000);
    expect(net.moves.splice(0)).toEqual([[72_000, "all"]]);
    net.left = 0;
    net.clock.advance(3_600_000);
    expect(net.moves).toEqual([[102_000, "all"]]);
  });

  test("one that dies before it has proved itself changes nothing, and waits go on growing", async () => {
    const net = await without();
    net.clock.advance(30_000);
    net.fates.ws = "link";
    const link = await net.link();
    net.clock.advance(9_000);
    net.transport.linkLost(link, { carried: true });
    expect((await net.link()).transport).toBe("sse");
    net.clock.advance(51_000);
    expect(net.moves.splice(0)).toEqual([
      [30_000, "one"],
      [90_000, "one"],
    ]);
  });

  test("the waits begin anew after one was good", async () => {
    const net = await without();
    net.clock.advance(210_000);
    net.fates.ws = "link";
    net.left = 0;
    await net.link();
    net.clock.advance(12_000);
    expect(net.moves.length).toBe(4);
    net.fates.ws = "between";
    await net.link();
    net.clock.advance(30_000);
    expect(net.moves.at(-1)).toEqual([252_000, "one"]);
    expect(net.moves.length).toBe(5);
  });

  test("also when the change came while links were still on their way to WebSockets", async () => {
    const net = await without();
    net.clock.advance(30_000);
    net.fates.ws = "link";
    await net.link();
    net.clock.advance(12_000);
    net.fates.ws = "between";
    await net.link();
    net.moves.length = 0;
    net.clock.advance(90_000);
    expect(net.moves).toEqual([
      [72_000, "one"],
      [132_000, "one"],
    ]);
  });

  test("no more when nobody follows", async () => {
    const net = await without();
    net.transport.follow(() => expect.unreachable())();
    expect(net.clock.timers).toBe(0);
  });
});

/** The links of an agent over a network whose ways change: dials again after each loss, moves when it is asked to. */
class Pool {
  readonly net = new Network();
  readonly links: (Link | undefined)[] = [undefined, undefined, undefined];

  constructor() {
    this.net.transport.follow((how) => {
      let begun = 0;
      const going = this.links.flatMap((link, slot) => (link?.transport === "sse" ? [slot] : []));
      for (const slot of how === "one" ? going.slice(0, 1) : going) {
        begun++;
        void this.#dial(slot);
      }
      return { begun, left: going.length };
    });
  }

  /** Lets so much time pass, with a look at the links each second. */
  async run(seconds: number): Promise<void> {
    for (let i = 0; i < seconds; i++) {
      for (const [slot, link] of this.links.entries()) {
        if (link?.transport !== undefined && this.net.fates[link.transport] !== "link") {
          this.net.transport.linkLost(link, { carried: false });
          this.links[slot] = undefined;
        }
        if (this.links[slot] === undefined) await this.#dial(slot);
      }
      this.net.clock.advance(1_000);
      for (let turns = 0; turns < 10; turns++) await Promise.resolve();
    }
  }

  async #dial(slot: number): Promise<void> {
    const link = await this.net.dial();
    if (typeof link === "object") this.links[slot] = link;
    else if (link === undefined) this.net.giveUp("late");
  }
}

test("whatever the network did: once it lets WebSockets through, all links are some before long", async () => {
  const fate = fc.constantFrom<Fate>("link", "between", "trouble", "nobody", "silence");
  const phase = fc.record({ ws: fate, sse: fate, seconds: fc.integer({ min: 1, max: 400 }) });
  await fc.assert(
    fc.asyncProperty(fc.array(phase, { maxLength: 8 }), async (phases) => {
      const pool = new Pool();
      for (const { ws, sse, seconds } of phases) {
        Object.assign(pool.net.fates, { ws, sse });
        await pool.run(seconds);
      }
      Object.assign(pool.net.fates, { ws: "link", sse: "link" });
      // The longest wait, the time to prove itself, and one more look.
      await pool.run(600 + 10 + 35);
      expect(pool.links.map((link) => link?.transport)).toEqual(["ws", "ws", "ws"]);
    }),
    { numRuns: 60 },
  );
}, 30_000);

test("an agent tells over what its link goes, and moves to a WebSocket without losing its session", async () => {
  const clock = new VirtualClock();
  const relay = new FakeRelay(clock);
  let blocked = true;
  const open =
    (transport: TransportName): FakeRelay["openLink"] =>
    (place, token, done) => {
      if (transport === "ws" && blocked) {
        clock.soon(() => done(new RelayRefusal("upgrade-required", undefined, 0, "between")));
        return () => {};
      }
      return relay.openLink(place, token, (link) =>
        done(link instanceof Error ? link : Object.assign(link, { transport })),
      );
    };
  const transport = new Transport({
    ...{ choice: "auto", clock, websocketRetryMs: 30_000, random: () => 0.5 },
    dialer: {
      openLink: open("ws"),
      openEventLink: open("sse"),
      requestName: (...asked) => relay.requestName(...asked),
    },
  });
  const { event, events, agent } = setUp({ door: () => transport, clock });
  const first = await relay.next();
  const driver = first.welcome();
  expect(await event({ event: "link" })).toMatchObject({ state: "up", transport: "sse" });
  await event({ event: "ready" });
  // Its relay's end answers what is asked of it, so that the link is a good one.
  await passes(clock, 29_000);
  blocked = false;
  await passes(clock, 1_000);
  const second = await relay.next();
  expect(second.session).toBe("s0");
  expect(second.resume()).toBe(driver);
  expect(await event({ event: "link" })).toMatchObject({ state: "up", transport: "ws" });
  expect(events.filter(({ event: kind }) => kind !== "link").map(({ event: kind }) => kind)).toEqual([
    "ready",
  ]);
  agent.abandon();
});
