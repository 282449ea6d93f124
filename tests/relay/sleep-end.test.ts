import { describe, expect, test } from "bun:test";
import { writeHello } from "../../shared/handshake.ts";
import { pingText } from "../../shared/liveness.ts";
import { turn } from "../shared/driver-bench.ts";
import { type Caller, Desk, helloOf, instance, kinds, visit } from "./reception-desk.ts";
import { restAfterMs, SleepingDesk } from "./sleeping-desk.ts";

const bye = {
  record: "GOAWAY",
  kind: "bye",
  code: "goodbye",
  lastStream: 0,
  graceMs: 0,
  reason: "",
} as const;
/** What an instance that came without `join` is remembered for. */
const resumeWindowMs = 60_000;
/** A relay gives up a link on which nothing came for so long. */
const silenceMs = 45_000;

/** Lets time pass in which these agents say that they are there. */
function pass(desk: SleepingDesk, ms: number, ...lively: Caller[]): void {
  const untilMs = desk.clock.now() + ms;
  while (desk.clock.now() < untilMs) {
    desk.clock.advance(Math.min(1_000, untilMs - desk.clock.now()));
    for (const { link } of lively) link.says(pingText);
  }
}

describe("a session that is leaving is never kept", () => {
  test("when its token ends, to which it is woken", async () => {
    const desk = new SleepingDesk();
    desk.tokenMs = 100_000;
    const caller = await desk.rested();
    desk.linkOf(caller).answeredMs = desk.clock.date() + 90_000;
    const next = desk.beginAnew({ afterMs: 99_000 - restAfterMs });
    expect(next.sleep.isResting).toBe(true);
    next.clock.advance(1_000);
    expect([next.keptOf(caller), next.sleep.isResting]).toEqual([undefined, false]);
    await turn();
    expect(caller.told()).toMatchObject([{ record: "GOAWAY", kind: "drain", code: "token-expired" }]);
    expect(next.keptOf(caller)).toBeUndefined();
    next.clock.advance(30_000);
    expect([next.metrics.sessions, next.sleep.isResting]).toEqual([0, true]);
  });

  test("when its token ended while the process slept", async () => {
    const desk = new SleepingDesk();
    desk.tokenMs = 100_000;
    const caller = await desk.rested();
    desk.linkOf(caller).answeredMs = desk.clock.date() + 3_590_000;
    const next = desk.beginAnew({ afterMs: 3_600_000 });
    next.clock.advance(0);
    await turn();
    expect(kinds(caller)).toEqual(["GOAWAY"]);
    expect([next.keptOf(caller), next.sleep.isResting]).toEqual([undefined, false]);
  });

  test("when a newer instance takes over, with a link or without", async () => {
    const desk = new SleepingDesk();
    const old = await desk.rested();
    const away = await desk.rested({ slot: 1 });
    away.link.breaks();
    expect(desk.sleep.kept.size).toBe(1);
    const newer = await desk.rested({ instance: instance("b") });
    expect([desk.keptOf(old), desk.sleep.kept.size, desk.sleep.isResting]).toEqual([undefined, 0, false]);
    const next = desk.beginAnew();
    expect([...next.tunnels.sessions()].map(({ id }) => id)).toEqual([newer.welcome.session]);
    expect(old.told().at(-1)).toMatchObject({ record: "GOAWAY", code: "session-gone" });
  });

  test("when it is ended by a fresh one in its place, whose link alone is taken up", async () => {
    const desk = new SleepingDesk();
    const old = await desk.rested();
    const fresh = await desk.rested({ attempt: 2 });
    // The old socket is closing: the platform still has it.
    expect(desk.linkOf(old).gone).toBe(false);
    const next = desk.beginAnew();
    expect([...next.tunnels.sessions()].map(({ id }) => id)).toEqual([fresh.welcome.session]);
  });

  test("and a session that was resumed is not taken up on its old link", async () => {
    const desk = new SleepingDesk();
    const old = await desk.rested();
    const resumed = await desk.resume(old.welcome);
    await desk.comesToRest();
    const next = desk.beginAnew();
    expect([next.metrics.sessions, next.keptOf(resumed)?.attempt]).toEqual([1, 2]);
  });

  test("when its agent said goodbye, nor are its siblings, of which nobody hears more", async () => {
    const desk = new SleepingDesk();
    const [first, second] = [await desk.rested(), await desk.rested({ slot: 1 })];
    first.says(bye);
    expect([desk.keptOf(first), desk.keptOf(second), desk.sleep.isResting]).toEqual([
      undefined,
      undefined,
      false,
    ]);
    first.link.breaks();
    expect(desk.metrics.sessions).toBe(1);
    // The goodbye of the second was lost with its link: it is not waited for until the end of days.
    desk.clock.advance(silenceMs);
    expect([desk.metrics.sessions, desk.sleep.isResting, desk.names.lookup("blue")?.bye]).toEqual([
      0,
      true,
      true,
    ]);
  });

  test("when its agent has left before it came: it was still in its handshake", async () => {
    const desk = new SleepingDesk();
    const first = await desk.rested();
    first.says(bye);
    const second = await desk.call({ slot: 1 });
    desk.clock.advance(restAfterMs);
    expect([desk.keptOf(second), desk.sleep.isResting]).toEqual([undefined, false]);
    desk.clock.advance(silenceMs);
    expect([desk.metrics.sessions, desk.sleep.isResting]).toEqual([0, true]);
  });
});

describe("an instance from which a newer one took over", () => {
  test("is remembered: so long the process does not sleep", async () => {
    const desk = new SleepingDesk();
    const old = await desk.rested();
    const newer = await desk.rested({ instance: instance("b") });
    old.says(bye);
    old.link.breaks();
    pass(desk, resumeWindowMs - 2 * restAfterMs, newer);
    expect(desk.sleep.isResting).toBe(false);
    expect((await desk.call({ attempt: 9 })).refusal).toBe("superseded");
    newer.link.says(pingText);
    desk.clock.advance(2 * restAfterMs);
    expect([desk.sleep.isResting, desk.metrics.sessions]).toEqual([true, 1]);
  });

  /** With the process ended in between, and not. */
  const processes: [string, (desk: SleepingDesk) => Desk][] = [
    ["and goes on", (desk) => desk],
    ["and ends", (desk) => desk.beginAnew({ afterMs: 1_000 })],
  ];

  test.each(processes)("is forgotten after that by a process that sleeps %s", async (_, then) => {
    const desk = new SleepingDesk();
    const old = await desk.rested();
    const newer = await desk.rested({ instance: instance("b") });
    old.says(bye);
    old.link.breaks();
    pass(desk, resumeWindowMs, newer);
    const next = then(desk);
    expect((await next.call({ attempt: 9 })).refusal).toBeUndefined();
    await turn();
    expect(newer.told()).toMatchObject([{ record: "GOAWAY", code: "superseded" }]);
  });

  test.each(processes)(
    "does not take over with another link while it shares the name in a process that sleeps %s",
    async (_, then) => {
      const desk = new SleepingDesk();
      const old = await desk.rested();
      const newer = await desk.rested({ instance: instance("b"), join: true });
      newer.told();
      const next = then(desk);
      const second = await next.call({ slot: 1 });
      expect(second.welcome.generation).toBe(old.welcome.generation);
      const third = await next.call({ instance: instance("c"), join: true });
      expect(third.welcome.generation).toBeGreaterThan(newer.welcome.generation);
      await turn();
      expect([kinds(newer), kinds(old), next.metrics.sessions]).toEqual([[], [], 4]);
    },
  );

  test("is nothing that keeps a process awake when nobody else is here", async () => {
    const desk = new SleepingDesk();
    const caller = await desk.rested();
    caller.says(bye);
    caller.link.breaks();
    expect([desk.metrics.sessions, desk.sleep.isResting]).toEqual([0, true]);
  });
});

describe("a link at rest", () => {
  test("has no timer, and is looked at when the process wakes: one that was silent for too long is dropped", async () => {
    const desk = new SleepingDesk();
    const caller = await desk.rested();
    // Its token's end.
    expect(desk.clock.timers).toBe(1);
    desk.clock.advance(silenceMs - restAfterMs - 1);
    desk.reception.wake();
    expect(caller.link.ended).toBeUndefined();
    desk.clock.advance(1);
    expect(caller.link.ended).toBeUndefined();
    desk.reception.wake();
    expect([caller.link.ended, desk.metrics.sessions]).toEqual(["destroy", 1]);
    // It may come back.
    expect([...desk.sleep.kept.keys()]).toEqual([caller.welcome.session]);
    expect((await desk.resume(caller.welcome)).welcome.resumed).toBe(true);
  });

  test("whose pings the platform has answered lives, in this process and the next", async () => {
    const desk = new SleepingDesk();
    const [caller, silent] = [await desk.rested(), await desk.rested({ slot: 1 })];
    desk.clock.advance(40_000);
    desk.linkOf(caller).answeredMs = desk.clock.date();
    desk.clock.advance(10_000);
    desk.reception.wake();
    expect([caller.link.ended, silent.link.ended]).toEqual([undefined, "destroy"]);
    const next = desk.beginAnew({ afterMs: 30_000 });
    next.reception.wake();
    expect(caller.link.ended).toBeUndefined();
    const last = next.beginAnew({ afterMs: 5_000 });
    last.reception.wake();
    expect(caller.link.ended).toBe("destroy");
  });

  test("on which pings came while the process was awake for another was not silent when that sleeps", async () => {
    const desk = new SleepingDesk();
    const [busy, quiet] = [await desk.rested(), await desk.rested({ slot: 1 })];
    await visit(desk);
    const [lively, resting] = desk.keptOf(busy) === undefined ? [busy, quiet] : [quiet, busy];
    lively.says({ record: "ACK", count: 1 });
    pass(desk, 600_000, lively, resting);
    const next = desk.beginAnew({ afterMs: 44_999 });
    next.reception.wake();
    expect(resting.link.ended).toBeUndefined();
  });

  test("that is lost leaves its session the whole window from the last ping that was answered", async () => {
    const desk = new SleepingDesk();
    const caller = await desk.rested();
    desk.clock.advance(600_000);
    desk.linkOf(caller).answeredMs = desk.clock.date();
    desk.clock.advance(10_000);
    caller.link.breaks();
    desk.clock.advance(resumeWindowMs - 10_000 - 1);
    expect([desk.metrics.sessions, desk.tunnels.expects("blue", "http", desk.clock.now())]).toEqual([
      1,
      true,
    ]);
    desk.clock.advance(1);
    expect([desk.metrics.sessions, desk.names.lookup("blue")?.bye]).toEqual([0, true]);
  });

  test("is watched again as soon as a stream is opened on it", async () => {
    const desk = new SleepingDesk();
    const caller = await desk.rested();
    desk.clock.advance(600_000);
    await visit(desk);
    desk.clock.advance(2_000);
    expect(desk.tunnels.find("blue")?.reaches("http")).toBe(false);
    desk.clock.advance(30_000);
    expect(caller.link.ended).toBe("destroy");
  });

  test("stays watched where nobody sleeps", async () => {
    const desk = new Desk();
    const caller = await desk.call();
    desk.clock.advance(silenceMs);
    expect(caller.link.ended).toBe("destroy");
  });
});

describe("a process is kept awake", () => {
  test("by a link until its HELLO is answered, refused, or late", async () => {
    const desk = new SleepingDesk();
    await desk.rested();
    const [late] = await desk.dial();
    expect(desk.sleep.isResting).toBe(false);
    desk.clock.advance(10_000);
    expect([late.refusal, desk.sleep.isResting]).toEqual(["handshake-timeout", true]);
    const [gone] = await desk.dial();
    gone.link.breaks();
    expect(desk.sleep.isResting).toBe(true);
    expect((await desk.call({ attempt: 1 })).refusal).toBe("superseded");
    expect(desk.sleep.isResting).toBe(true);
  });

  test("by a session on which nothing comes, until it is given up", async () => {
    const desk = new SleepingDesk();
    const [caller] = await desk.dial();
    caller.link.comes(writeHello(helloOf({})));
    desk.clock.advance(silenceMs);
    expect([caller.link.ended, desk.sleep.isResting, desk.sleep.kept.size]).toEqual(["destroy", false, 0]);
    desk.clock.advance(resumeWindowMs);
    expect([desk.metrics.sessions, desk.sleep.isResting]).toEqual([0, true]);
  });
});
