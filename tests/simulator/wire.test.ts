import { describe, expect, test } from "bun:test";
import { Machine } from "./machine.ts";
import type { CutPlan, LinkPlan } from "./plan.ts";
import { SeededRandom } from "./random.ts";
import { Wire } from "./wire.ts";
import type { WireEnd } from "./wire-end.ts";
import { World } from "./world.ts";

const plain: LinkPlan = { openMs: 0, latencyMs: 10, jitterMs: 0, bytesPerMs: 0, bufferBytes: 65_536 };
const cutPlan: CutPlan = {
  toward: "relay",
  atByte: 1_000_000,
  afterMs: 1_000_000,
  flying: "lost",
  noticeMs: {},
};

function setUp(plan: Partial<LinkPlan>) {
  const world = new World();
  const [agent, relay] = [1, 2].map((startMs) => new Machine(world, { startMs, dateMs: 0 }));
  if (agent === undefined || relay === undefined) throw new Error("two were made");
  const wire = new Wire(world, { ...plain, ...plan }, new SeededRandom(1), { agent, relay });
  const said: string[] = [];
  const listen = (end: WireEnd) => {
    const note = (what: string) => said.push(`${world.nowMs.toFixed(0)} ${end.side} ${what}`);
    end.handler = {
      heard: () => note("heard"),
      message: (bytes) => note(`message ${bytes.length}`),
      text: (text) => note(text),
      drained: () => note("drained"),
      closed: (code) => note(`closed ${code}`),
    };
  };
  listen(wire.ends.agent);
  listen(wire.ends.relay);
  const run = (untilMs = 100) => {
    while (world.turn(untilMs));
    return said.splice(0);
  };
  return { world, wire, run, agent: wire.ends.agent, relay: wire.ends.relay, machines: { agent, relay } };
}

describe("a hostile link", () => {
  test("delivers in order after its latency, and closes as a WebSocket does", () => {
    const { agent, run } = setUp({ jitterMs: 5 });
    agent.send(new Uint8Array(3));
    agent.sendText("ping");
    agent.close(1000, "");
    const told = run().map((line) => line.replace(/^\d+ /, ""));
    expect(told).toEqual([
      ...["relay heard", "relay message 3", "relay heard", "relay ping"],
      ...["relay closed 1000", "agent closed 1000"],
    ]);
  });

  test("takes as long as its bandwidth says, shows life meanwhile, and what waits", () => {
    const { agent, run } = setUp({ bytesPerMs: 10, bufferBytes: 100 });
    agent.send(new Uint8Array(596));
    expect(agent.queued).toBe(500);
    const told = run();
    expect(told.filter((line) => line.endsWith("relay heard")).length).toBeGreaterThan(1);
    expect(told).toContain("60 agent drained");
    expect(told.at(-1)).toBe("70 relay message 596");
    expect(agent.queued).toBe(0);
  });

  test("that is cut at a byte delivers what is whole before it, and of the rest only a sign of life", () => {
    const cut = { ...cutPlan, atByte: 20, noticeMs: { agent: 0, relay: 5 } };
    const { agent, relay, run } = setUp({ cut });
    for (let message = 0; message < 3; message++) agent.send(new Uint8Array(10));
    relay.send(new Uint8Array(1));
    expect(run()).toEqual([
      ...["10 relay heard", "10 relay message 10", "10 relay heard", "10 agent closed 1006"],
      "15 relay closed 1006",
    ]);
  });

  test("that is cut between two messages gives no sign of life of the second", () => {
    const { agent, run } = setUp({ cut: { ...cutPlan, atByte: 12, noticeMs: { relay: 0 } } });
    for (let message = 0; message < 2; message++) agent.send(new Uint8Array(10));
    expect(run()).toEqual(["10 relay heard", "10 relay message 10", "10 relay closed 1006"]);
  });

  test("whose time has come is cut inside the next message, either way", () => {
    const { world, wire, relay, run } = setUp({ cut: { ...cutPlan, atByte: 1_000_003, afterMs: 20 } });
    let busy: boolean | undefined;
    wire.onCut = (flying) => {
      busy = flying;
    };
    world.at(30, () => relay.send(new Uint8Array(50)));
    expect(run()).toEqual(["40 agent heard"]);
    expect(busy).toBe(true);
  });

  test("that falls silent one way still carries the other, and tells nobody", () => {
    const { agent, relay, world, run } = setUp({ cut: { ...cutPlan, atByte: 0, silent: "relay" } });
    agent.send(new Uint8Array(1));
    world.at(50, () => relay.send(new Uint8Array(2)));
    expect(run()).toEqual(["60 agent heard", "60 agent message 2"]);
    agent.destroy();
    expect(run(2_000)).toEqual([]);
  });

  test("is known to be broken at the other end after its latency when one end drops it", () => {
    const { agent, world, run } = setUp({});
    world.at(0, () => agent.destroy());
    expect(run()).toEqual(["0 agent closed 1006", "10 relay closed 1006"]);
  });
});

describe("a process that is stopped", () => {
  test("gets what came meanwhile when it goes on, before what comes later, and its timers too", () => {
    const { agent, machines, world, run } = setUp({});
    const { relay } = machines;
    relay.at(relay.now() + 20, () => agent.sendText("timer of the relay"));
    world.at(0, () => relay.stop(50, { asleep: false, timersFirst: true }));
    world.at(1, () => agent.sendText("one"));
    world.at(40, () => agent.sendText("two"));
    expect(run()).toEqual([
      ...["50 relay heard", "50 relay one", "50 relay heard", "50 relay two"],
      ...["60 relay heard", "60 relay timer of the relay"],
    ]);
    expect(relay.timers).toBe(0);
  });

  test("does not see the time that it slept, but for the date", () => {
    const { machines, world, run } = setUp({});
    const { agent } = machines;
    const [beforeMs, dateMs] = [agent.now(), agent.date()];
    let firedMs = 0;
    agent.at(beforeMs + 30, () => {
      firedMs = world.nowMs;
    });
    world.at(10, () => agent.stop(1_000, { asleep: true, timersFirst: true }));
    run(2_000);
    expect(firedMs).toBe(1_030);
    expect(agent.now() - beforeMs).toBe(world.nowMs - 1_000);
    expect(agent.date() - dateMs).toBe(world.nowMs);
  });

  test("that is killed does nothing more, and its links break", () => {
    const { wire, machines, run } = setUp({});
    const { agent } = machines;
    agent.onDeath = () => wire.abandoned("agent");
    agent.at(agent.now() + 5, () => {
      throw new Error("it runs");
    });
    agent.kill();
    expect(run()).toEqual(["10 relay closed 1006"]);
    expect(agent.timers).toBe(0);
  });
});
