import { describe, expect, test } from "bun:test";
import { ownerOf } from "../../relay/auth/claims.ts";
import { writeHello } from "../../shared/handshake.ts";
import { pingText } from "../../shared/liveness.ts";
import { Memory } from "../../shared/mux/memory.ts";
import { turn } from "../shared/driver-bench.ts";
import { Desk, type HelloFacts, helloOf, instance, kinds, resumeOf, visit } from "./reception-desk.ts";

const wrongProof = { session: "", proof: "A".repeat(43) };

describe("a resume", () => {
  test("goes on with the session: same id, no secret, its counts, and what the old link lost", async () => {
    const desk = new Desk();
    const first = await desk.call();
    const heard: string[] = [];
    const stream = await visit(desk, heard);
    first.says({ record: "ACK", count: 1 }, { record: "DATA", stream: stream.id, bytes: "00" });
    stream.write(new Uint8Array(3));
    await turn();
    first.link.breaks();
    const second = await desk.resume(first.welcome, { received: 1 });
    const { secret: _, ...same } = first.welcome;
    expect(second.welcome).toEqual({ ...same, resumed: true, first: 2, received: 1 });
    await turn();
    expect(second.told()).toMatchObject([{ record: "DATA", stream: stream.id, bytes: "000000" }]);
    expect([heard, stream.closed, desk.tunnels.find("blue")?.reaches("http")]).toEqual([
      ["data"],
      false,
      true,
    ]);
    expect(desk.log).toEqual(["agent here", "agent resumed"]);
    expect([desk.metrics.links, desk.metrics.sessions]).toEqual([1, 1]);
  });

  test("takes the link of one that still lives: nothing is said or read there any more", async () => {
    const desk = new Desk();
    const first = await desk.call();
    const heard: string[] = [];
    const stream = await visit(desk, heard);
    first.told();
    const second = await desk.resume(first.welcome);
    expect([first.link.ended, first.told()]).toEqual(["destroy", []]);
    first.says({ record: "DATA", stream: stream.id, bytes: "00" });
    expect([heard, second.welcome.received]).toEqual([[], 0]);
    first.link.breaks();
    expect([desk.metrics.links, desk.metrics.sessions, desk.tunnels.find("blue")?.reaches("http")]).toEqual([
      1,
      1,
      true,
    ]);
    second.says({ record: "DATA", stream: stream.id, bytes: "00" });
    expect(heard).toEqual(["data"]);
  });

  test("whose count an ACK has overtaken begins behind what was acknowledged", async () => {
    const desk = new Desk();
    const first = await desk.call();
    const stream = await visit(desk);
    stream.write(new Uint8Array(1));
    await turn();
    first.says({ record: "ACK", count: 2 });
    stream.write(new Uint8Array(2));
    await turn();
    const second = await desk.resume(first.welcome, { received: 1 });
    expect(second.welcome.first).toBe(3);
    await turn();
    expect(second.told()).toMatchObject([{ record: "DATA", bytes: "0000" }]);
  });

  test("may come again and again, each with a later attempt", async () => {
    const desk = new Desk();
    const first = await desk.call({ attempt: 5 });
    for (const attempt of [6, 7, 100]) {
      expect((await desk.resume(first.welcome, { attempt })).welcome.resumed).toBe(true);
    }
    for (const attempt of [100, 99, 5, 1])
      expect((await desk.resume(first.welcome, { attempt })).refusal).toBe("superseded");
  });

  test("brings its own token: the session lasts as long as the new one says", async () => {
    const desk = new Desk();
    const first = await desk.call();
    await visit(desk);
    desk.clock.advance(10_000);
    first.link.breaks();
    desk.tokenMs = 20_000;
    const second = await desk.resume(first.welcome);
    await turn();
    second.told();
    for (let ms = 0; ms < 19_000; ms += 1_000) {
      desk.clock.advance(1_000);
      second.link.says(pingText);
    }
    expect(kinds(second)).not.toContain("GOAWAY");
    desk.clock.advance(1_000);
    await turn();
    expect(second.told()).toContainEqual(
      expect.objectContaining({ record: "GOAWAY", code: "token-expired" }),
    );
  });

  test("with a token that lasts longer puts off the end that the first had", async () => {
    const desk = new Desk();
    desk.tokenMs = 5_000;
    const first = await desk.call();
    desk.tokenMs = 3_600_000;
    const second = await desk.resume(first.welcome);
    for (let ms = 0; ms < 30_000; ms += 1_000) {
      desk.clock.advance(1_000);
      second.link.says(pingText);
    }
    await turn();
    expect(kinds(second)).toEqual([]);
    expect(desk.clock.timers).toBeLessThan(5);
  });
});

describe("a resume is refused", () => {
  /** What is wrong in it, and the code; the later ones are right in all that is looked at before. */
  const refusals: [string, string, HelloFacts | ((session: string) => HelloFacts)][] = [
    ["another session in the path", "protocol-error", { path: "other" }],
    ["a tunnel that is another", "proof-invalid", { name: "green" }],
    ["another instance", "proof-invalid", { instance: instance("b") }],
    ["another slot", "proof-invalid", { slot: 1 }],
    ["a wrong proof", "proof-invalid", (session) => ({ resume: { ...wrongProof, session } })],
    [
      "a wrong proof and a stale attempt",
      "proof-invalid",
      (session) => ({ attempt: 1, resume: { ...wrongProof, session } }),
    ],
    ["a stale attempt", "superseded", { attempt: 2 }],
    ["a stale attempt and a count above what was sent", "superseded", { attempt: 2, received: 99 }],
    ["a count above what was sent", "protocol-error", { attempt: 4, received: 2 }],
  ];

  test.each(refusals)("for %s, and session and link stay as they are", async (_, code, wrong) => {
    const desk = new Desk();
    const first = await desk.call({ attempt: 3 });
    const heard: string[] = [];
    const stream = await visit(desk, heard);
    const facts = typeof wrong === "function" ? wrong(first.welcome.session) : wrong;
    const refused = await desk.resume(first.welcome, { attempt: 4, ...facts });
    expect(refused.refusal).toBe(code);
    expect(refused.link.ended).toStartWith("close ");
    refused.link.breaks();
    expect([desk.metrics.links, desk.metrics.sessions, first.link.ended]).toEqual([1, 1, undefined]);
    first.says({ record: "DATA", stream: stream.id, bytes: "00" });
    expect(heard).toEqual(["data"]);
    // None of it has used up the attempt.
    expect((await desk.resume(first.welcome, { attempt: 4 })).welcome.resumed).toBe(true);
  });

  test("for another subject, even one that may have the name by then", async () => {
    const desk = new Desk();
    const first = await desk.call();
    expect(await desk.refusalOf(desk.resume(first.welcome, { token: "you" }))).toBe("name-taken");
    // The name lapsed and is somebody else's between the dial and the HELLO.
    const check = desk.names.check.bind(desk.names);
    desk.names.check = (name) => name;
    const { hasOther } = desk.tunnels;
    desk.tunnels.hasOther = () => false;
    expect((await desk.resume(first.welcome, { token: "you" })).refusal).toBe("proof-invalid");
    desk.names.check = check;
    desk.tunnels.hasOther = hasOther;
    expect((await desk.resume(first.welcome)).welcome.resumed).toBe(true);
  });

  test("where the path names a session and HELLO does not, or the other way about", async () => {
    const desk = new Desk();
    const { welcome } = await desk.call();
    expect((await desk.call({ path: welcome.session, attempt: 2 })).refusal).toBe("protocol-error");
    expect((await desk.call({ path: "gone", attempt: 2 })).refusal).toBe("protocol-error");
    const [caller] = await desk.dial();
    caller.link.comes(writeHello(helloOf({ slot: 0, attempt: 2, resume: resumeOf(welcome) })));
    expect(caller.refusal).toBe("protocol-error");
    expect(desk.metrics.sessions).toBe(1);
  });

  test("of two that race, the later wins, whichever comes first", async () => {
    for (const order of [
      [2, 3],
      [3, 2],
    ]) {
      const desk = new Desk();
      const { welcome } = await desk.call();
      const callers = [];
      for (const attempt of order) callers.push(await desk.resume(welcome, { attempt }));
      const winner = callers[order.indexOf(3)];
      expect([order, winner?.welcome.resumed, winner?.link.ended]).toEqual([order, true, undefined]);
      await visit(desk);
      expect(winner === undefined ? [] : kinds(winner)).toEqual(["OPEN"]);
    }
  });
});

describe("a session that is not held", () => {
  test("is answered with a fresh one, whatever HELLO counts", async () => {
    const desk = new Desk();
    const welcome = { ...(await desk.call()).welcome, session: "long-gone" };
    const fresh = await desk.resume(welcome, { slot: 1, received: 77 });
    expect(fresh.welcome).toMatchObject({ resumed: false, first: 1, received: 0 });
    expect(fresh.welcome.session).not.toBe("long-gone");
    expect(fresh.welcome.secret).toMatch(/^[A-Za-z0-9_-]{43}$/);
  });

  test("is gone for who wants no other", async () => {
    const desk = new Desk();
    const welcome = { ...(await desk.call()).welcome, session: "long-gone" };
    expect((await desk.resume(welcome, { slot: 1, only: true })).refusal).toBe("session-gone");
    expect(desk.metrics.sessions).toBe(1);
  });

  test("is one whose window has passed, counted from its last byte, and all of it is freed", async () => {
    const desk = new Desk();
    const first = await desk.call();
    const heard: string[] = [];
    await visit(desk, heard);
    desk.clock.advance(1_000);
    first.link.says(pingText);
    first.link.breaks();
    expect([
      desk.tunnels.find("blue")?.reaches("http"),
      desk.tunnels.expects("blue", "http", desk.clock.now()),
    ]).toEqual([false, true]);
    desk.clock.advance(59_999);
    expect(heard).toEqual([]);
    desk.clock.advance(1);
    expect(heard).toEqual(["reset link-lost"]);
    const { links, sessions, tunnels } = desk.metrics;
    expect([links, sessions, tunnels, desk.clock.timers]).toEqual([0, 0, 0, 0]);
    expect((await desk.resume(first.welcome, { only: true })).refusal).toBe("session-gone");
  });
});

describe("a fresh HELLO", () => {
  test("of two owners who dialled for one name, the first gets it, and the other is told whose it is", async () => {
    const desk = new Desk();
    const [slow] = await desk.dial({ token: "you" });
    const quick = await desk.call({ token: "me" });
    slow.link.comes(writeHello(helloOf({ instance: instance("b") })));
    expect([quick.welcome.resumed, slow.refusal]).toEqual([false, "name-taken"]);
    expect(desk.names.lookup("blue")?.live).toBe(true);
  });

  test("ends the session in its place, which its agent has given up, and no other", async () => {
    const desk = new Desk();
    const [first, sibling] = [await desk.call(), await desk.call({ slot: 1 })];
    const heard: string[] = [];
    for (let two = 0; two < 2; two++) await visit(desk, heard);
    first.says({ record: "ACK", count: 1 });
    first.link.breaks();
    const fresh = await desk.call({ attempt: 2 });
    expect(fresh.welcome.session).not.toBe(first.welcome.session);
    expect([heard, sibling.link.ended]).toEqual([["reset session-gone"], undefined]);
    expect((await desk.resume(first.welcome, { only: true, attempt: 3 })).refusal).toBe("session-gone");
    expect(fresh.welcome.generation).toBe(first.welcome.generation);
    expect(desk.metrics.sessions).toBe(2);
  });

  test("begins a session on which nothing is opened before its agent has said something", async () => {
    const desk = new Desk();
    const [caller] = await desk.dial();
    caller.link.comes(writeHello(helloOf({})));
    const tunnel = desk.tunnels.find("blue");
    expect([caller.welcome.resumed, tunnel?.reaches("http")]).toEqual([false, false]);
    let ready = 0;
    desk.tunnels.onReady = () => void ready++;
    caller.link.says(pingText);
    expect([tunnel?.reaches("http"), ready]).toEqual([true, 1]);
  });

  test("that is late is superseded, and the session in its place stays", async () => {
    const desk = new Desk();
    const first = await desk.call({ attempt: 7 });
    for (const attempt of [6, 7]) expect((await desk.call({ attempt })).refusal).toBe("superseded");
    expect((await desk.resume(first.welcome, { attempt: 9 })).welcome.resumed).toBe(true);
    expect((await desk.call({ attempt: 8 })).refusal).toBe("superseded");
    expect((await desk.call({ attempt: 8, slot: 1 })).welcome.resumed).toBe(false);
    expect((await desk.call({ attempt: 10 })).welcome.resumed).toBe(false);
  });

  test("is refused by a relay that drains; a resume is not", async () => {
    const desk = new Desk();
    const first = await desk.call();
    const [late] = await desk.dial({ path: "x" });
    desk.draining = true;
    expect(await desk.refusalOf(desk.call({ attempt: 2 }))).toBe("going-away");
    expect(await desk.refusalOf(desk.call({ path: "unknown", attempt: 2 }))).toBe("going-away");
    expect((await desk.resume(first.welcome)).welcome.resumed).toBe(true);
    // Let in before, with a session that has ended since.
    late.link.comes(
      writeHello(helloOf({ slot: 3, attempt: 2, resume: resumeOf({ ...first.welcome, session: "x" }) })),
    );
    expect(late.refusal).toBe("going-away");
  });
});

describe("a link on which nothing is said", () => {
  test("is refused where memory is full; a resume is not, as what waits for it would go with its session alone", async () => {
    const memory = new Memory(2 ** 28, { besideBytes: 1_000 });
    const desk = new Desk({ memory });
    const { link, welcome } = await desk.call();
    link.breaks();
    memory.beside.add(2_000);
    expect(await desk.refusalOf(desk.call({ name: "green" }))).toBe("too-many-links");
    const resumed = await desk.resume(welcome);
    expect(resumed.welcome.resumed).toBe(true);
  });

  test("is refused after 10 s, and one that closes leaves nothing", async () => {
    const desk = new Desk();
    const [[silent], [closes]] = [await desk.dial(), await desk.dial()];
    closes.link.breaks();
    desk.clock.advance(9_999);
    expect(silent.refusal).toBeUndefined();
    desk.clock.advance(1);
    expect(silent.refusal).toBe("handshake-timeout");
    silent.link.breaks();
    expect([desk.metrics.links, desk.clock.timers]).toEqual([0, 0]);
  });
});

describe("a revocation", () => {
  const me = ownerOf({ issuer: "underpass", subject: "me" });

  test("between a dial and its HELLO: there is no session, and one by a later token is begun", async () => {
    const desk = new Desk();
    const [caller] = await desk.dial();
    desk.reception.revoked(me, desk.clock.date());
    caller.link.comes(writeHello(helloOf({})));
    expect([caller.refusal, [...desk.tunnels.sessions()]]).toEqual(["token-expired", []]);
    desk.clock.advance(1);
    expect((await desk.call()).welcome.resumed).toBe(false);
  });

  test("that nobody told of costs no look at the sessions", async () => {
    const desk = new Desk();
    await desk.call();
    desk.tunnels.sessions = () => {
      throw new Error("looked at");
    };
    desk.reception.revoked(me, undefined);
    expect(() => desk.reception.revoked(me, 0)).toThrow("looked at");
  });
});
