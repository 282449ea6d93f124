import { describe, expect, test } from "bun:test";
import { nodeLimits } from "../../relay/cluster/nodes.ts";
import { factsOf } from "./memory-board.ts";
import { NodesRig, own } from "./nodes-rig.ts";

describe("a relay's own line", () => {
  test("is put up at once, each second give or take a tenth, and when it has changed", async () => {
    const least = new NodesRig(() => 0);
    least.nodes.begin();
    const atFirst = least.way.puts;
    expect(atFirst).toBeGreaterThan(0);
    await least.pass(9_000);
    expect(least.way.puts - atFirst).toBe(10);
    const most = new NodesRig(() => 1);
    most.nodes.begin();
    const before = most.way.puts;
    await most.pass(11_000);
    expect(most.way.puts - before).toBe(10);
    most.self = factsOf(own, { state: "draining" });
    most.nodes.changed();
    await most.settle();
    expect(most.board.lines.get(own)?.state).toBe("draining");
  });

  test("that changed while one was under way follows it", async () => {
    const rig = NodesRig.begun();
    rig.self = factsOf(own, { state: "draining" });
    rig.nodes.changed();
    await rig.settle();
    expect(rig.board.lines.get(own)?.state).toBe("draining");
  });

  test("is taken down at the end, for which nobody waits long", async () => {
    const rig = NodesRig.begun();
    await rig.nodes.end();
    expect([rig.board.lines.size, rig.clock.timers]).toEqual([0, 0]);
    const stuck = new NodesRig();
    stuck.nodes.begin();
    stuck.way.stand();
    const ended = stuck.nodes.end();
    stuck.clock.advance(nodeLimits.endWithinMs);
    await ended;
    stuck.way.mend();
    expect([stuck.alive, stuck.told, stuck.clock.timers]).toEqual(["", [], 0]);
  });

  test("is tried again where the board does not take it, which is told once, or is out of reach, which it says itself", async () => {
    const rig = new NodesRig();
    rig.way.refuse();
    rig.nodes.begin();
    await rig.pass(5_000);
    expect(rig.faults).toEqual(["The board of relays can't be written: Error: refused"]);
    rig.way.mend();
    await rig.pass(1_000);
    expect(rig.board.lines.has(own)).toBe(true);
    rig.way.break();
    rig.board.lines.clear();
    await rig.pass(5_000);
    expect(rig.faults).toHaveLength(1);
    rig.way.refuse();
    await rig.pass(2_000);
    expect(rig.faults).toHaveLength(2);
    rig.way.mend();
    await rig.pass(1_000);
    expect(rig.board.lines.has(own)).toBe(true);
  });

  test("is not given to a board that stands still again and again", async () => {
    const rig = NodesRig.begun();
    await rig.pass(1_000);
    const { puts } = rig.way;
    rig.way.stand();
    await rig.pass(9_000);
    expect(rig.way.puts - puts).toBe(3);
  });
});

describe("another relay", () => {
  /** A minute without the board, and the time from when it is back that one may be silent. */
  const expectNotMissed = async (rig: NodesRig): Promise<void> => {
    rig.board.lines.delete("aaaaaaaa");
    await rig.pass(60_000);
    expect(rig.alive).toBe("aaaaaaaa");
    rig.way.mend();
    await rig.pass(3_400);
    expect(rig.alive).toBe("aaaaaaaa");
  };

  test("is alive as long as its lines come, and is told with what it says of itself, by id", async () => {
    const rig = new NodesRig();
    let changes = 0;
    rig.nodes.onChange = () => void changes++;
    rig.board.put(factsOf("bbbbbbbb", { url: "http://b.example" }));
    rig.nodes.begin();
    rig.board.put(factsOf("aaaaaaaa"));
    expect([rig.alive, rig.told.join(), changes]).toEqual([
      "aaaaaaaa bbbbbbbb",
      "alive bbbbbbbb,alive aaaaaaaa",
      2,
    ]);
    expect(rig.nodes.facts("bbbbbbbb")?.url).toBe("http://b.example");
    expect(rig.nodes.facts(own)).toBe(rig.self);
    rig.board.put(factsOf("aaaaaaaa", { sessions: 5 }));
    expect([changes, rig.nodes.others()[0]?.sessions]).toEqual([2, 5]);
    rig.board.put(factsOf("aaaaaaaa", { state: "draining" }));
    expect(changes).toBe(3);
  });

  test("is dead when 3.5 s brought no line, and not before", async () => {
    const rig = NodesRig.begun("aaaaaaaa");
    rig.beating.add("bbbbbbbb");
    await rig.pass(3_400);
    expect(rig.nodes.isAlive("aaaaaaaa")).toBe(true);
    await rig.pass(100);
    expect([rig.nodes.isAlive("aaaaaaaa"), rig.alive]).toEqual([false, "bbbbbbbb"]);
    expect(rig.told).toEqual(["alive aaaaaaaa", "alive bbbbbbbb", "dead aaaaaaaa"]);
    expect(rig.nodes.facts("aaaaaaaa")).toBeUndefined();
  });

  test("lives while a link to it is up, and is looked at again each second", async () => {
    const rig = NodesRig.begun("aaaaaaaa");
    rig.linked.add("aaaaaaaa");
    await rig.pass(60_000);
    expect(rig.alive).toBe("aaaaaaaa");
    rig.linked.clear();
    await rig.pass(1_000);
    expect(rig.told).toEqual(["alive aaaaaaaa", "dead aaaaaaaa"]);
  });

  test("at whose address nobody is is dead as soon as its line is overdue", async () => {
    const rig = NodesRig.begun();
    rig.board.put(factsOf("aaaaaaaa", { tunnels: 3 }));
    rig.beating.add("bbbbbbbb");
    rig.nodes.missed("aaaaaaaa");
    await rig.pass(1_900);
    expect(rig.alive).toBe("aaaaaaaa bbbbbbbb");
    await rig.pass(400);
    expect(rig.alive).toBe("bbbbbbbb");
    expect(rig.nodes.dead()).toEqual([factsOf("aaaaaaaa", { tunnels: 3 })]);
    // An address that is wrong, of one that is heard.
    for (let second = 0; second < 10; second++) {
      rig.nodes.missed("bbbbbbbb");
      await rig.pass(1_000);
    }
    expect(rig.alive).toBe("bbbbbbbb");
    // One that can't be asked for its line.
    rig.way.stand();
    rig.nodes.missed("bbbbbbbb");
    await rig.pass(60_000);
    expect(rig.alive).toBe("bbbbbbbb");
    await rig.pass(nodeLimits.deadShownMs);
    expect(rig.nodes.dead()).toEqual([]);
  });

  test("that takes its line down is dead at once, or drains while a link to it is up", async () => {
    const rig = NodesRig.begun("aaaaaaaa", "bbbbbbbb");
    rig.linked.add("bbbbbbbb");
    for (const id of ["aaaaaaaa", "bbbbbbbb"]) rig.board.remove(id);
    expect(rig.alive).toBe("bbbbbbbb");
    expect(rig.nodes.facts("bbbbbbbb")?.state).toBe("draining");
    await rig.pass(30_000);
    expect(rig.alive).toBe("bbbbbbbb");
    rig.linked.clear();
    // It has said so itself: that holds without the board, too.
    rig.way.break();
    await rig.pass(1_000);
    expect(rig.told).toEqual(["alive aaaaaaaa", "alive bbbbbbbb", "dead aaaaaaaa", "dead bbbbbbbb"]);
  });

  test("is not missed while the board is out of reach, and anew from when it is back", async () => {
    const rig = NodesRig.begun("aaaaaaaa");
    await rig.pass(3_000);
    rig.way.break();
    await expectNotMissed(rig);
    await rig.pass(1_000);
    expect(rig.told).toEqual(["alive aaaaaaaa", "dead aaaaaaaa"]);
  });

  test("is not missed while the board stands still without a word", async () => {
    const rig = NodesRig.begun("aaaaaaaa");
    await rig.pass(1_000);
    rig.way.stand();
    await expectNotMissed(rig);
    await rig.pass(2_000);
    expect(rig.told).toEqual(["alive aaaaaaaa", "dead aaaaaaaa"]);
  });

  test("is not missed because this process stood still", async () => {
    const rig = NodesRig.begun();
    rig.beating.add("aaaaaaaa");
    await rig.pass(2_000);
    // All timers that were due run before anything that came meanwhile is read.
    rig.clock.advance(20_000);
    await rig.pass(5_000);
    expect(rig.told).toEqual(["alive aaaaaaaa"]);
  });

  test("that was dead is alive again with its second line: the first may be an old one, told again", async () => {
    const rig = NodesRig.begun("aaaaaaaa");
    await rig.pass(5_000);
    rig.way.break();
    rig.way.mend();
    await rig.pass(5_000);
    expect([rig.told, rig.nodes.isAlive("aaaaaaaa")]).toEqual([["alive aaaaaaaa", "dead aaaaaaaa"], false]);
    rig.board.put(factsOf("aaaaaaaa"));
    expect(rig.told.slice(2)).toEqual(["alive aaaaaaaa"]);
  });

  test("that nobody has heard of is alive until the board was within reach long enough", async () => {
    const rig = new NodesRig();
    rig.way.break();
    rig.nodes.begin();
    await rig.pass(10_000);
    expect(rig.nodes.isAlive("nobody00")).toBe(true);
    rig.way.mend();
    await rig.pass(3_400);
    expect(rig.nodes.isAlive("nobody00")).toBe(true);
    await rig.pass(100);
    expect([rig.nodes.isAlive("nobody00"), rig.nodes.isAlive(own)]).toEqual([false, true]);
    rig.way.break();
    expect(rig.nodes.isAlive("nobody00")).toBe(true);
  });

  test("of another major version is no neighbour, which is told once", () => {
    const rig = NodesRig.begun();
    for (let times = 0; times < 3; times++) rig.board.put(factsOf("aaaaaaaa", { version: "2.0.0" }));
    rig.board.put(factsOf("bbbbbbbb", { version: "1.9.0" }));
    expect(rig.alive).toBe("bbbbbbbb");
    expect(rig.faults).toEqual(["The relay aaaaaaaa is ignored: its version is 2.0.0, and ours 1.2.3."]);
  });

  test("is one of 256 at most", () => {
    const rig = NodesRig.begun();
    const id = (n: number): string => `node${String(n).padStart(4, "0")}`;
    for (let n = 0; n < 300; n++) rig.board.put(factsOf(id(n)));
    expect([rig.nodes.others().length, rig.faults.length]).toEqual([256, 44]);
    rig.board.remove(id(0));
    rig.board.put(factsOf(id(299)));
    expect(rig.nodes.isAlive(id(299))).toBe(true);
  });
});
