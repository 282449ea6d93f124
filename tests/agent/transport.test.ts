import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { GiveUp } from "../../agent/agent.ts";
import type { TransportChoice } from "../../agent/relay-link.ts";
import { RelayRefusal } from "../../agent/relay-refusal.ts";
import { Transport } from "../../agent/transport.ts";
import { UnderpassError } from "../../shared/errors.ts";
import type { Link, TransportName } from "../../shared/link.ts";
import { memoryLinks } from "../../shared/links/memory.ts";
import { FakeRelay, passes, setUp } from "./agent-bench.ts";
import { VirtualClock } from "./virtual-clock.ts";

/** What becomes of a dial: a link; a refusal of the relay's, of something between, or of nobody; nothing at all. */
type Fate = "link" | "relay" | "between" | "trouble" | "nobody" | "silence";

const refusals: Readonly<Partial<Record<Fate, RelayRefusal>>> = {
  relay: new RelayRefusal("unauthorized"),
  between: new RelayRefusal("not-a-relay", "It answers 403.", 0, "between"),
  trouble: new RelayRefusal("relay-unreachable", "It answers 502.", 0, "between"),
  nobody: new RelayRefusal("relay-unreachable", "Nobody there.", 0, "nobody"),
};

/** A network in which each transport has its fate, and the dials that were made. */
class Network {
  readonly clock = new VirtualClock();
  readonly fates: Record<TransportName, Fate> = { ws: "link", sse: "link" };
  readonly dials: string[] = [];
  readonly transport: Transport;
  /** Calls of the transport to move links: when, and how. */
  readonly moves: [number, string][] = [];
  left = 1;
  readonly #startMs = this.clock.now();

  constructor(choice: TransportChoice = "auto", random = 0.5) {
    this.transport = new Transport({
      ...{ choice, clock: this.clock, websocketRetryMs: 30_000, random: () => random },
      dialer: {
        openLink: (...dial) => this.#dial("ws", dial[2], dial[3]),
        openEventLink: (...dial) => this.#dial("sse", dial[2], dial[3]),
        requestName: () => () => {},
      },
    });
    this.transport.follow((how) => {
      this.moves.push([this.nowMs, how]);
      return { begun: this.left === 0 ? 0 : 1, left: this.left };
    });
  }

  get nowMs(): number {
    return this.clock.now() - this.#startMs;
  }

  /** One dial: its link, or the code of its refusal; undefined where it is silent. */
  async dial(): Promise<Link | string | undefined> {
    let result: Link | UnderpassError | undefined;
    this.giveUp = this.transport.openLink({ name: "blue", kind: "http" }, undefined, (got) => {
      expect(result).toBeUndefined();
      result = got;
    });
    for (let i = 0; i < 8; i++) await Promise.resolve();
    return result instanceof UnderpassError ? `${result.code}${result.fatal ? "!" : ""}` : result;
  }
  giveUp: GiveUp = () => {};

  /** A dial that must bring a link. */
  async link(): Promise<Link> {
    const link = await this.dial();
    if (typeof link !== "object") throw new Error(`no link: ${link}`);
    return link;
  }

  /** The transports that were dialled since the last look. */
  dialled(): string {
    return this.dials.splice(0).join(" ");
  }

  #dial(
    transport: TransportName,
    done: (result: Link | UnderpassError) => void,
    reached: (() => void) | undefined,
  ): () => void {
    this.dials.push(transport);
    const fate = this.fates[transport];
    let given = true;
    queueMicrotask(() => {
      if (!given) return;
      if (fate !== "nobody") reached?.();
      if (fate === "silence") return;
      done(refusals[fate] ?? Object.assign(memoryLinks(this.clock)[0], { transport }));
    });
    return () => {
      given = false;
    };
  }
}

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
      await lose(net, 10_000);
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

  test("and once one has lived for 10 s all follow, those that could not just then somewhat later", async () => {
    const net = await without();
    net.clock.advance(30_000);
    net.fates.ws = "link";
    expect((await net.link()).transport).toBe("ws");
    net.clock.advance(9_000);
    // Who dials meanwhile stays where it is safe.
    expect((await net.link()).transport).toBe("sse");
    expect(net.moves.splice(0)).toEqual([[30_000, "one"]]);
    net.clock.advance(1_000);
    expect(net.moves.splice(0)).toEqual([[40_000, "all"]]);
    expect((await net.link()).transport).toBe("ws");
    net.clock.advance(30_000);
    expect(net.moves.splice(0)).toEqual([[70_000, "all"]]);
    net.left = 0;
    net.clock.advance(3_600_000);
    expect(net.moves).toEqual([[100_000, "all"]]);
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
    net.clock.advance(10_000);
    expect(net.moves.length).toBe(4);
    net.fates.ws = "between";
    await net.link();
    net.clock.advance(30_000);
    expect(net.moves.at(-1)).toEqual([250_000, "one"]);
    expect(net.moves.length).toBe(5);
  });

  test("also when the change came while links were still on their way to WebSockets", async () => {
    const net = await without();
    net.clock.advance(30_000);
    net.fates.ws = "link";
    await net.link();
    net.clock.advance(10_000);
    net.fates.ws = "between";
    await net.link();
    net.moves.length = 0;
    net.clock.advance(90_000);
    expect(net.moves).toEqual([
      [70_000, "one"],
      [130_000, "one"],
    ]);
  });

  test("no more when nobody follows", async () => {
    const net = await without();
    net.transport.follow(() => expect.unreachable())();
    expect(net.clock.timers).toBe(0);
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
  const { event, events, agent } = setUp({ door: transport, clock });
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
