import { describe, expect, test } from "bun:test";
import { ownerOf } from "../../relay/auth/claims.ts";
import { pingText } from "../../shared/liveness.ts";
import { slowDoubt } from "../../shared/mux/frame.ts";
import type { OracleRecord } from "../oracle/codec.ts";
import { turn } from "../shared/driver-bench.ts";
import { Desk, instance, kinds, visit } from "./reception-desk.ts";

describe("a takeover", () => {
  test("drains the older instance, whose session stays resumable while it has its grace, and is told again", async () => {
    const desk = new Desk();
    const old = await desk.call();
    const heard: string[] = [];
    await visit(desk, heard);
    old.told();
    const newer = await desk.call({ instance: instance("b") });
    await turn();
    expect(old.told()).toMatchObject([
      { record: "GOAWAY", kind: "drain", code: "superseded", graceMs: 30_000 },
    ]);
    expect(newer.welcome.generation).toBeGreaterThan(old.welcome.generation);
    await visit(desk);
    expect(kinds(newer)).toEqual(["OPEN"]);
    desk.clock.advance(10_000);
    old.link.breaks();
    const resumed = await desk.resume(old.welcome, { received: 1 });
    await turn();
    expect(resumed.told()).toMatchObject([
      { record: "GOAWAY", kind: "drain", code: "superseded", graceMs: 20_000 },
    ]);
    expect(heard).toEqual([]);
    resumed.link.says(pingText);
    newer.link.says(pingText);
    desk.clock.advance(20_000);
    await turn();
    expect(heard).toEqual(["reset superseded"]);
    expect(desk.metrics.sessions).toBe(1);
  });

  test("turns fresh HELLOs of the older instance away while the newer is held, be it without a link", async () => {
    const desk = new Desk();
    const old = await desk.call();
    const newer = await desk.call({ instance: instance("b") });
    expect((await desk.call({ attempt: 2 })).refusal).toBe("superseded");
    expect((await desk.call({ attempt: 2, slot: 1 })).refusal).toBe("superseded");
    newer.link.breaks();
    expect((await desk.call({ attempt: 3 })).refusal).toBe("superseded");
    expect((await desk.resume({ ...old.welcome, session: "gone" }, { attempt: 4 })).refusal).toBe(
      "superseded",
    );
    expect((await desk.resume(newer.welcome, { instance: instance("b") })).welcome.resumed).toBe(true);
  });

  test("does not happen to who shares the name, nor by a later link of the older", async () => {
    const desk = new Desk();
    const one = await desk.call();
    const two = await desk.call({ instance: instance("b"), join: true });
    await desk.call({ slot: 1 });
    await turn();
    expect([kinds(one), kinds(two), desk.metrics.sessions]).toEqual([[], [], 3]);
  });
});

describe("a name's kind, and with it its port", () => {
  test("stays while another kind is refused, and changes with the takeover", async () => {
    const desk = new Desk();
    await desk.call();
    const wrong = await desk.call({ instance: instance("b"), kind: "private", join: true });
    expect([wrong.refusal, desk.names.lookup("blue")?.kind]).toEqual(["kind-forbidden", "http"]);
    await desk.call({ instance: instance("b"), kind: "private", attempt: 2 });
    expect(desk.names.lookup("blue")?.kind).toBe("private");
  });

  test("is no matter for an older session that finishes its streams on another link", async () => {
    const desk = new Desk();
    const old = await desk.call();
    await visit(desk);
    await desk.call({ instance: instance("b"), kind: "private" });
    old.link.breaks();
    expect((await desk.resume(old.welcome, { received: 1, only: true })).welcome.resumed).toBe(true);
    expect(desk.names.lookup("blue")?.kind).toBe("private");
  });
});

describe("a link that the relay suspects", () => {
  test("is told to the agent over the others of its instance, and over one that comes later", async () => {
    const desk = new Desk();
    const [first, second] = [await desk.call(), await desk.call({ slot: 1 })];
    const foreign = await desk.call({ instance: instance("b"), join: true });
    for (const caller of [first, second, foreign]) caller.says({ record: "ACK", count: 0 });
    const stream = await visit(desk);
    const [silent, lively] = kinds(first).includes("OPEN") ? [first, second] : [second, first];
    const slot = silent === first ? 0 : 1;
    for (let ms = 0; ms < 2_600; ms += 100) {
      desk.clock.advance(100);
      for (const caller of [lively, foreign]) caller.link.says(pingText);
    }
    await turn();
    expect(lively.told()).toEqual([{ record: "DOUBT", slot }]);
    expect([kinds(foreign), stream.closed]).toEqual([[], false]);
    // New visitors go elsewhere.
    await visit(desk);
    expect([kinds(lively).length + kinds(foreign).length, kinds(silent)]).toEqual([1, []]);
    const third = await desk.call({ slot: 2 });
    await turn();
    expect(third.told()).toEqual([{ record: "DOUBT", slot }]);
    const again = await desk.resume(lively.welcome, { slot: 1 - slot, received: 1 });
    await turn();
    expect(again.told()).toContainEqual({ record: "DOUBT", slot });
  });

  test("of being slow is told in the same way, and over that link, too", async () => {
    const desk = new Desk();
    const [slow, other] = [await desk.call(), await desk.call({ slot: 1 })];
    for (const caller of [slow, other]) caller.says({ record: "ACK", count: 0 });
    const pass = (ms: number): void => {
      for (let step = 0; step < ms; step += 100) {
        desk.clock.advance(100);
        for (const caller of [slow, other]) caller.link.says(pingText);
      }
    };
    pass(10_000);
    for (let count = 0; count < 6; count++) await visit(desk);
    expect([kinds(slow), kinds(other)]).toEqual([Array(3).fill("OPEN"), Array(3).fill("OPEN")]);
    pass(100);
    other.says({ record: "ACK", count: 3 });
    slow.says({ record: "ACK", count: 1 });
    pass(400);
    slow.says({ record: "ACK", count: 2 });
    pass(800);
    await turn();
    const doubt: OracleRecord = { record: "DOUBT", slot: slowDoubt };
    expect([slow.told(), other.told()]).toEqual([[doubt], [doubt]]);
  });

  test("and drops takes no streams, and is there again with its next link", async () => {
    const desk = new Desk();
    const ready: string[] = [];
    desk.tunnels.onReady = (name) => void ready.push(name);
    const first = await desk.call();
    await visit(desk);
    desk.clock.advance(40_000);
    expect([first.link.ended, desk.tunnels.find("blue")?.reaches("http")]).toEqual(["destroy", false]);
    expect(desk.tunnels.expects("blue", "http", desk.clock.now())).toBe(true);
    ready.length = 0;
    await desk.resume(first.welcome);
    expect([ready.length > 0, desk.tunnels.find("blue")?.reaches("http")]).toEqual([true, true]);
  });
});

describe("a goodbye", () => {
  test("means that nobody is waited for, and ends a session at rest with its link", async () => {
    const desk = new Desk();
    const first = await desk.call();
    first.says({
      ...{ record: "GOAWAY", kind: "bye", code: "goodbye", lastStream: 0, graceMs: 0, reason: "" },
    });
    expect(desk.tunnels.expects("blue", "http", desk.clock.now())).toBe(false);
    first.link.breaks();
    expect([desk.metrics.sessions, desk.names.lookup("blue")?.bye]).toEqual([0, true]);
  });

  test("leaves a session with open streams resumable", async () => {
    const desk = new Desk();
    const first = await desk.call();
    const heard: string[] = [];
    await visit(desk, heard);
    first.says({
      ...{ record: "GOAWAY", kind: "bye", code: "goodbye", lastStream: 2, graceMs: 9_000, reason: "" },
    });
    first.link.breaks();
    expect((await desk.resume(first.welcome, { only: true, received: 1 })).welcome.resumed).toBe(true);
    expect(heard).toEqual([]);
  });
});

test("sessions of an owner who has lost the name to another leave, and no others", async () => {
  const desk = new Desk();
  const mine = await desk.call({ token: "me" });
  const other = await desk.call({ token: "me", name: "green" });
  for (const caller of [mine, other]) caller.told();
  desk.reception.lost("blue", ownerOf({ issuer: "underpass", subject: "you" }));
  await turn();
  expect(mine.told()).toEqual([]);
  desk.reception.lost("blue", ownerOf({ issuer: "underpass", subject: "me" }));
  await turn();
  expect(mine.told()).toMatchObject([{ record: "GOAWAY", kind: "drain", code: "superseded" }]);
  expect(other.told()).toEqual([]);
});
