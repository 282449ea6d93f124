import { expect, test } from "bun:test";
import { PassedLinks, takePassedLink } from "../../relay/cluster/passed-links.ts";
import type { OpenLink } from "../../shared/dial/greeting.ts";
import { Slot } from "../../shared/dial/slot.ts";
import type { Link } from "../../shared/link.ts";
import { memoryLinks } from "../../shared/links/memory.ts";
import { Memory } from "../../shared/mux/memory.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import { VirtualClock } from "../agent/virtual-clock.ts";
import { neighbours } from "../conformance/stream-links.ts";
import { Desk, instance } from "../relay/reception-desk.ts";
import { turn } from "../shared/driver-bench.ts";

/** What the byte at this place of the transfer is. */
const byteAt = (place: number): number => (place * 31 + (place >>> 9)) & 0xff;

/**
 * Two relays, A and B, that are neighbours, and an agent. Its first link is dialled to B, all later ones to A, which
 * passes them on.
 */
class Cluster {
  readonly clock = new VirtualClock();
  readonly b = new Desk({ clock: this.clock });
  readonly passed: PassedLinks;
  readonly a: Desk;
  readonly slot: Slot;
  /** The agent's ends of its links, the latest last. */
  readonly links: Link[] = [];
  readonly events: string[] = [];

  constructor() {
    const { clock, b } = this;
    const memory = new Memory(2 ** 28);
    const { one } = neighbours(clock, (stream, fields) => {
      const taken = takePassedLink(stream, fields, clock);
      if (taken === undefined) throw new Error("the head is not valid");
      b.reception.receive(taken.link, taken.admission);
      return taken.receiver;
    });
    this.passed = new PassedLinks({ clock, memory, open: (_, ...stream) => one.session.open(...stream) });
    const passOn: PassedLinks["pass"] = (...link) => this.passed.pass(...link);
    this.a = new Desk({ clock, cluster: { elsewhere: () => "bbbbbbbb", passOn } });
    this.slot = new Slot(
      {
        ...{ index: 0, kind: "http", features: [], instance: instance("a"), join: false, version: "0.0.0" },
        ...{ clock, memory, backoff: { next: () => 10, succeeded() {} } },
        ...{ openLink: this.dial, isFinal: () => false, doubted() {} },
      },
      {
        opened: (stream) => new Echo(stream),
        up: (_, { session }, { resumed }) =>
          void this.events.push(resumed ? "resumed" : `up ${session !== ""}`),
        suspect: () => void this.events.push("suspect"),
        down: (_, error) => void this.events.push(error.code),
      },
    );
    this.slot.start();
  }

  private readonly dial: OpenLink = (session, done) => {
    const desk = session === undefined ? this.b : this.a;
    const [agent, relay] = memoryLinks(this.clock);
    void desk.reception.admit({ name: "blue", kind: "http", session }, "me").then((admission) => {
      desk.reception.receive(relay, admission);
      this.links.push(agent);
      done(agent);
    });
    return () => agent.destroy();
  };

  async until(met: () => boolean): Promise<void> {
    for (let turns = 0; !met(); turns++) {
      if (turns === 20_000) throw new Error(`nothing comes of it: ${this.events}`);
      await turn(1);
      this.clock.advance(1);
    }
  }
}

/** The agent's end of a stream: says what it hears. */
class Echo implements StreamHandler {
  #waiting = 0;
  constructor(private readonly stream: Stream) {}
  head(): void {}
  data(bytes: Uint8Array): void {
    this.#waiting = this.stream.write(bytes) ? 0 : this.stream.queued;
    this.stream.held(this.#waiting);
  }
  end(): void {
    this.stream.end();
  }
  left(): void {}
  reset(): void {}
  writable(): void {
    this.stream.held(0);
  }
}

test("a session goes on over links that are passed on, byte for byte, whenever they break", async () => {
  const bytes = 10_000_000;
  const cluster = new Cluster();
  await cluster.until(() => cluster.b.tunnels.find("blue")?.reaches("http") === true);
  let sent = 0;
  let heard = 0;
  let ended = false;
  let wrong: number | string | undefined;
  const cuts = [500_000, 2_000_000, 4_000_000, 6_500_000, 9_000_000];
  const pump = (to: Stream): void => {
    let more = true;
    while (more && sent < bytes) {
      const piece = new Uint8Array(Math.min(50_000, bytes - sent));
      for (let i = 0; i < piece.length; i++) piece[i] = byteAt(sent + i);
      sent += piece.length;
      more = to.write(piece);
    }
    if (sent === bytes) to.end();
  };
  const stream = cluster.b.tunnels.find("blue")?.open("http", 1, new Uint8Array(1), {
    head() {},
    data(piece) {
      for (const byte of piece) {
        if (byte !== byteAt(heard)) wrong ??= heard;
        heard++;
      }
      stream?.held(0);
      if (heard >= (cuts[0] ?? bytes)) {
        cuts.shift();
        cluster.links.at(-1)?.destroy();
      }
    },
    end: () => {
      ended = true;
    },
    left() {},
    reset: (code) => {
      wrong ??= code;
    },
    writable: () => stream && pump(stream),
  });
  if (stream === undefined) throw new Error("no stream");
  pump(stream);
  await cluster.until(() => ended || wrong !== undefined);
  expect([wrong, heard, cuts.length]).toEqual([undefined, bytes, 0]);
  expect(cluster.links.length).toBe(6);
  expect(cluster.events.filter((event) => event !== "link-lost" && event !== "suspect")).toEqual([
    "up true",
    ...Array(5).fill("resumed"),
  ]);
  expect([cluster.passed.size, cluster.a.metrics.links, cluster.b.metrics.links]).toEqual([1, 1, 1]);
  expect([cluster.a.metrics.sessions, cluster.b.metrics.sessions]).toEqual([0, 1]);
});

test("a session that its relay has not any more begins anew where the agent dials", async () => {
  const cluster = new Cluster();
  const { b, slot } = cluster;
  await cluster.until(() => b.tunnels.find("blue")?.reaches("http") === true);
  const first = slot.session;
  for (const { driver } of b.tunnels.sessions()) driver.session.lost("link-lost");
  await cluster.until(() => slot.session !== first && slot.session !== undefined);
  expect(cluster.events.filter((event) => event === "up true").length).toBe(2);
  await cluster.until(() => b.tunnels.find("blue")?.reaches("http") === true);
  expect(cluster.passed.size).toBe(0);
});
