import { describe, expect, test } from "bun:test";
import { writeHello } from "../../shared/handshake.ts";
import { pingText } from "../../shared/liveness.ts";
import type { Stream } from "../../shared/mux/stream.ts";
import { turn } from "../shared/driver-bench.ts";
import { type Caller, helloOf, instance, kinds, visit } from "./reception-desk.ts";
import { restAfterMs, SleepingDesk } from "./sleeping-desk.ts";

/** A visitor's exchange to its end: what is left is nothing but counts. Returns its stream. */
async function exchange(desk: SleepingDesk, caller: Caller, acknowledged = 2): Promise<Stream> {
  const stream = await visit(desk);
  caller.says({ record: "END", stream: stream.id });
  stream.end();
  await turn();
  caller.says({ record: "ACK", count: acknowledged });
  await desk.comesToRest();
  return stream;
}

describe("a session", () => {
  test("is not at rest before something came after WELCOME", async () => {
    const desk = new SleepingDesk();
    const [caller] = await desk.dial();
    expect(desk.sleep.isResting).toBe(false);
    caller.link.comes(writeHello(helloOf({})));
    await turn();
    expect([desk.keptOf(caller), desk.sleep.isResting]).toEqual([undefined, false]);
    caller.link.says(pingText);
    desk.clock.advance(restAfterMs - 1);
    expect([desk.keptOf(caller), desk.sleep.isResting]).toEqual([undefined, false]);
    desk.clock.advance(1);
    expect(desk.keptOf(caller)).toMatchObject({ name: "blue", rest: { sent: 0, received: 0 } });
    expect([desk.sleep.isResting, desk.sleep.kept.size]).toEqual([true, 0]);
  });

  test("has nothing kept while a stream of the relay's is open, from before it leaves until all is acknowledged", async () => {
    const desk = new SleepingDesk();
    const caller = await desk.rested();
    const stream = await visit(desk);
    expect([desk.keptOf(caller), desk.sleep.isResting]).toEqual([undefined, false]);
    caller.says({ record: "ACK", count: 1 }, { record: "END", stream: stream.id });
    stream.end();
    await turn();
    expect([stream.closed, desk.keptOf(caller)]).toEqual([true, undefined]);
    caller.says({ record: "ACK", count: 2 });
    // What came last is not acknowledged yet.
    expect(desk.keptOf(caller)).toBeUndefined();
    await desk.comesToRest();
    expect(desk.keptOf(caller)?.rest).toMatchObject({ sent: 2, received: 1, nextId: 4, highestOwnId: 2 });
    expect([desk.sleep.isResting, desk.linkOf(caller).unkept]).toEqual([true, 0]);
  });

  test("has nothing kept while a stream of the agent's is open, from the turn in which it came", async () => {
    const desk = new SleepingDesk();
    const caller = await desk.rested();
    let stream: Stream | undefined;
    desk.opened = (_agent, opened) => {
      stream = opened;
      return opened.handler;
    };
    caller.says({ record: "OPEN", stream: 1, kind: 2, head: "" });
    expect([desk.keptOf(caller), desk.sleep.isResting]).toEqual([undefined, false]);
    stream?.reset("cancelled");
    await turn();
    expect(desk.keptOf(caller)).toBeUndefined();
    caller.says({ record: "ACK", count: 1 });
    await desk.comesToRest();
    expect(desk.keptOf(caller)?.rest).toMatchObject({ sent: 1, received: 1, nextId: 2, highestPeerId: 1 });
  });

  test("that calls is kept like one that serves", async () => {
    const desk = new SleepingDesk();
    desk.granted = { connect: ["blue"] };
    const caller = await desk.rested({ kind: "connect" });
    const next = desk.beginAnew();
    expect(next.callers.session(caller.welcome.session)?.name).toBe("blue");
    const opened: number[] = [];
    next.opened = (_agent, stream) => {
      opened.push(stream.id);
      return stream.handler;
    };
    caller.says({ record: "OPEN", stream: 1, kind: 2, head: "" });
    expect(opened).toEqual([1]);
  });
});

describe("a session that another process takes up from its link", () => {
  test("goes on where it was: ids rise, counts agree, and the agent hears of nothing", async () => {
    const desk = new SleepingDesk();
    const caller = await desk.rested();
    await exchange(desk, caller);
    caller.told();
    const next = desk.beginAnew();
    expect([next.metrics.sessions, next.metrics.links, next.sleep.isResting]).toEqual([1, 1, true]);
    expect(next.tunnels.find("blue")?.reaches("http")).toBe(true);
    const stream = await exchange(next, caller, 4);
    expect(stream.id).toBe(4);
    expect(kinds(caller)).toEqual(["OPEN", "ACK", "END"]);
    expect(next.keptOf(caller)?.rest).toMatchObject({ sent: 4, received: 2, nextId: 6 });
    // As often as it likes.
    const last = next.beginAnew().beginAnew();
    expect((await exchange(last, caller, 6)).id).toBe(6);
    expect(caller.link.ended).toBeUndefined();
  });

  test("is resumed by its agent, with the counts of before; a lower attempt is superseded", async () => {
    const desk = new SleepingDesk();
    const caller = await desk.rested({ attempt: 3 });
    await exchange(desk, caller);
    const { secret: _, ...same } = caller.welcome;
    const next = desk.beginAnew();
    for (const attempt of [1, 3])
      expect((await next.resume(caller.welcome, { attempt, received: 2 })).refusal).toBe("superseded");
    const wrong = await next.resume({ ...caller.welcome, secret: "AAAA" }, { attempt: 4, received: 2 });
    expect(wrong.refusal).toBe("proof-invalid");
    expect((await next.resume(caller.welcome, { attempt: 4, received: 3 })).refusal).toBe("protocol-error");
    const resumed = await next.resume(caller.welcome, { attempt: 4, received: 2 });
    expect(resumed.welcome).toEqual({ ...same, resumed: true, first: 3, received: 1 });
    expect([caller.link.ended, next.keptOf(resumed)?.attempt, next.metrics.sessions]).toEqual([
      "destroy",
      undefined,
      1,
    ]);
    await next.comesToRest();
    expect(next.keptOf(resumed)?.attempt).toBe(4);
    // The attempt is kept, too.
    const last = next.beginAnew();
    expect((await last.resume(caller.welcome, { attempt: 4, received: 2 })).refusal).toBe("superseded");
    expect((await last.resume(caller.welcome, { attempt: 5, received: 2 })).welcome.resumed).toBe(true);
  });

  test("is known by its instance and slot: a fresh one in its place ends it, a sibling shares its generation", async () => {
    const desk = new SleepingDesk();
    const caller = await desk.rested({ attempt: 2 });
    const next = desk.beginAnew();
    const sibling = await next.call({ slot: 1 });
    expect(sibling.welcome.generation).toBe(caller.welcome.generation);
    expect((await next.call({ attempt: 2 })).refusal).toBe("superseded");
    await next.call({ attempt: 3 });
    expect([next.metrics.sessions, next.tunnels.session(caller.welcome.session)]).toEqual([2, undefined]);
  });

  test("keeps when its agent was heard, however often the process ends", async () => {
    const desk = new SleepingDesk();
    const caller = await desk.rested();
    const heardAtMs = desk.clock.date() - restAfterMs;
    let last = desk;
    for (let times = 0; times < 3; times++) last = last.beginAnew({ afterMs: 10_000 });
    expect(last.keptOf(caller)?.heardAtMs).toBe(heardAtMs);
    last = last.beginAnew({ afterMs: 15_000 });
    last.reception.wake();
    expect(caller.link.ended).toBe("destroy");
  });
});

describe("a link whose session was not at rest when the process ended", () => {
  test("is told that it is gone, in mid-stream", async () => {
    const desk = new SleepingDesk();
    const caller = await desk.rested();
    await visit(desk);
    caller.told();
    const next = desk.beginAnew();
    expect(caller.told()).toMatchObject([{ record: "GOAWAY", kind: "error", code: "session-gone" }]);
    expect([caller.link.ended, next.metrics.sessions]).toEqual(["close 1008 session-gone", 0]);
    expect(next.metrics.links).toBe(1);
    caller.link.breaks();
    expect(next.metrics.links).toBe(0);
    const fresh = await next.resume(caller.welcome, { received: 1 });
    expect([fresh.welcome.resumed, fresh.welcome.session]).not.toContain(caller.welcome.session);
  });

  test("is told so where the agent has never said anything after WELCOME, but not before HELLO", async () => {
    const desk = new SleepingDesk();
    const [silent] = await desk.dial();
    const [welcomed] = await desk.dial();
    welcomed.link.comes(writeHello(helloOf({ instance: instance("b") })));
    desk.beginAnew();
    // Its agent may mean to resume one that is here.
    expect([silent.link.messages, silent.link.ended]).toEqual([[], "destroy"]);
    expect(welcomed.told()).toMatchObject([{ record: "GOAWAY", code: "session-gone" }]);
  });

  test("is no matter to its sibling, which rests", async () => {
    const desk = new SleepingDesk();
    const callers = [await desk.rested(), await desk.rested({ slot: 1 })];
    await visit(desk);
    const next = desk.beginAnew();
    const gone = callers.filter(({ link }) => link.ended !== undefined);
    expect([gone.length, next.metrics.sessions]).toEqual([1, 1]);
    expect(next.tunnels.find("blue")?.reaches("http")).toBe(true);
  });
});

describe("a session without a link", () => {
  test("at rest is kept until it is resumed, by this process or the next", async () => {
    const desk = new SleepingDesk();
    const caller = await desk.rested();
    await exchange(desk, caller);
    caller.link.breaks();
    expect([...desk.sleep.kept.keys()]).toEqual([caller.welcome.session]);
    expect(desk.sleep.isResting).toBe(true);
    const resumed = await desk.resume(caller.welcome, { received: 2 });
    expect([desk.sleep.kept.size, desk.sleep.isResting]).toEqual([0, false]);
    await desk.comesToRest();
    expect([desk.sleep.kept.size, desk.keptOf(resumed)?.attempt]).toEqual([0, 2]);
    resumed.link.breaks();
    const next = desk.beginAnew({ afterMs: 30_000 });
    expect([next.metrics.sessions, next.metrics.links, next.sleep.isResting]).toEqual([1, 0, true]);
    expect(next.tunnels.expects("blue", "http", next.clock.now())).toBe(true);
    const again = await next.resume(caller.welcome, { attempt: 3, received: 2 });
    expect(again.welcome).toMatchObject({ resumed: true, first: 3, received: 1 });
    expect([next.sleep.kept.size, (await exchange(next, again, 4)).id]).toEqual([0, 4]);
  });

  test("is forgotten when its window has passed, counted from the last byte", async () => {
    const desk = new SleepingDesk();
    const caller = await desk.rested();
    desk.clock.advance(20_000 - restAfterMs);
    caller.link.breaks();
    const next = desk.beginAnew({ afterMs: 30_000 });
    next.clock.advance(9_999);
    expect([next.metrics.sessions, next.sleep.kept.size]).toEqual([1, 1]);
    next.clock.advance(1);
    expect([next.metrics.sessions, next.sleep.kept.size, next.sleep.isResting]).toEqual([0, 0, true]);
    const late = desk.beginAnew({ afterMs: 3_600_000 });
    late.clock.advance(0);
    expect(late.metrics.sessions).toBe(0);
  });

  test("is not kept in mid-stream: the process stays awake until it is resumed or over", async () => {
    const desk = new SleepingDesk();
    const caller = await desk.rested();
    await visit(desk);
    caller.link.breaks();
    expect([desk.sleep.kept.size, desk.sleep.isResting]).toEqual([0, false]);
    desk.clock.advance(60_000);
    expect([desk.metrics.sessions, desk.sleep.isResting]).toEqual([0, true]);
  });

  test("that goes with its token leaves nothing behind", async () => {
    const desk = new SleepingDesk();
    desk.tokenMs = 20_000;
    const caller = await desk.rested();
    caller.link.breaks();
    const next = desk.beginAnew({ afterMs: 10_000 });
    next.clock.advance(10_000);
    expect([next.sleep.kept.size, next.sleep.isResting]).toEqual([0, false]);
    next.clock.advance(30_000);
    expect([next.metrics.sessions, next.sleep.isResting]).toEqual([0, true]);
  });
});
