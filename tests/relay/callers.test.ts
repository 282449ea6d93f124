import { describe, expect, test } from "bun:test";
import type { Claims } from "../../relay/auth/claims.ts";
import { clusterTokens, relayToken } from "../../relay/cluster/key.ts";
import type { Hello } from "../../shared/handshake.ts";
import { turn } from "../shared/driver-bench.ts";
import { Desk, type DeskOptions, instance, maxCallers } from "./reception-desk.ts";

const mayCall: Partial<Claims> = { connect: ["blue"], egress: ["*:443"] };

function deskWith(granted: Partial<Claims>, options: DeskOptions = {}): Desk {
  const desk = new Desk(options);
  desk.granted = granted;
  return desk;
}

describe("a session that calls", () => {
  for (const kind of ["connect", "via", "egress"] as const) {
    test(`${kind}: begins beside the tunnel's own, claims no name, and supersedes nobody`, async () => {
      const desk = deskWith(mayCall);
      const tunnel = kind === "via" ? undefined : await desk.call();
      const caller = await desk.call({ kind, instance: instance("c"), token: "you" });
      expect([caller.refusal, caller.welcome.urls]).toEqual([undefined, ["http://blue.localhost"]]);
      expect(tunnel?.link.ended).toBeUndefined();
      expect(desk.tunnels.find("blue")?.reaches("http") ?? false).toBe(kind !== "via");
      expect(desk.names.lookup("blue")?.owner).toBe(kind === "via" ? undefined : '["underpass","me"]');
      expect([...desk.callers.sessions()].length).toBe(1);
    });
  }

  test("is resumed by its proof, with the rights of its newer token", async () => {
    const desk = deskWith(mayCall);
    const first = await desk.call({ kind: "connect" });
    first.link.breaks();
    desk.granted = { connect: ["blue", "red"] };
    const again = await desk.resume(first.welcome, { kind: "connect" });
    expect(again.welcome.resumed).toBe(true);
    const [session] = desk.callers.sessions();
    expect(session?.claims.connect).toEqual(["blue", "red"]);
  });

  test("can't be resumed as one of another kind", async () => {
    const desk = deskWith(mayCall);
    const first = await desk.call({ kind: "connect" });
    first.link.breaks();
    expect((await desk.resume(first.welcome, { kind: "via" })).refusal).toBe("proof-invalid");
    expect((await desk.resume(first.welcome, { kind: "via", dialled: "connect", attempt: 3 })).refusal).toBe(
      "protocol-error",
    );
  });

  test("is ended by a fresh one of the same agent in its slot, and by no other agent's", async () => {
    const desk = deskWith(mayCall);
    const first = await desk.call({ kind: "connect", slot: 1 });
    const other = await desk.call({ kind: "connect", slot: 1, instance: instance("b") });
    const sibling = await desk.call({ kind: "connect", slot: 0 });
    const fresh = await desk.call({ kind: "connect", slot: 1, attempt: 2 });
    expect([first.link.ended !== undefined, other.link.ended, sibling.link.ended]).toEqual([
      true,
      undefined,
      undefined,
    ]);
    expect(fresh.welcome.generation).toBe(sibling.welcome.generation);
    expect([...desk.callers.sessions()].length).toBe(3);
    expect((await desk.call({ kind: "connect", slot: 1, attempt: 1 })).refusal).toBe("superseded");
  });

  test("is freed when its window has passed", async () => {
    const desk = deskWith(mayCall);
    const caller = await desk.call({ kind: "egress" });
    caller.link.breaks();
    desk.clock.advance(60_000);
    expect([[...desk.callers.sessions()].length, desk.metrics.sessions, desk.clock.timers]).toEqual([
      0, 0, 0,
    ]);
  });

  test("has its streams taken by the relay, with what its token allows at hand", async () => {
    const desk = deskWith(mayCall);
    const opened: unknown[] = [];
    desk.opened = (agent, stream) => {
      opened.push([agent.kind, agent.name, agent.claims.connect, stream.kind]);
      return { head() {}, data() {}, end() {}, left() {}, reset() {}, writable() {} };
    };
    const caller = await desk.call({ kind: "connect" });
    caller.says({ record: "OPEN", stream: 1, kind: 2, head: "" });
    await turn();
    expect(opened).toEqual([["connect", "blue", ["blue"], 2]]);
  });
});

describe("a dial is refused", () => {
  const cases: readonly [Hello["kind"], Partial<Claims>, string][] = [
    ["connect", {}, "connect-denied"],
    ["connect", { connect: ["red"], egress: ["*:*"] }, "connect-denied"],
    ["via", { connect: ["blue"] }, "egress-denied"],
    ["egress", { connect: ["blue"] }, "egress-denied"],
    ["private", { kinds: ["http"] }, "kind-forbidden"],
  ];
  for (const [kind, granted, code] of cases) {
    test(`${code} for ${kind} with ${JSON.stringify(granted)}`, async () => {
      const desk = deskWith(granted);
      expect(await desk.refusalOf(desk.call({ kind }))).toBe(code);
      expect([...desk.callers.sessions(), ...desk.tunnels.sessions()].length).toBe(0);
    });
  }

  test("egress-denied for via where the tunnel's agent offers no egress, whatever the token grants", async () => {
    const desk = deskWith(mayCall);
    await desk.call();
    expect(await desk.refusalOf(desk.call({ kind: "via", token: "you" }))).toBe("egress-denied");
    await desk.call({ features: ["egress"], attempt: 2 });
    expect((await desk.call({ kind: "via", token: "you" })).refusal).toBeUndefined();
  });

  test("too-many-links for a subject that has as many sessions as one may, but none of those is kept from its next link", async () => {
    const desk = deskWith(mayCall);
    const first = await desk.call({ kind: "connect" });
    for (let other = 0; other < maxCallers - 1; other++)
      await desk.call({ kind: "connect", instance: `${"b".repeat(16)}${other}` });
    expect(await desk.refusalOf(desk.call({ kind: "egress", instance: instance("c") }))).toBe(
      "too-many-links",
    );
    expect((await desk.call({ kind: "connect", token: "you" })).refusal).toBeUndefined();
    first.link.breaks();
    expect((await desk.resume(first.welcome, { kind: "connect" })).welcome.resumed).toBe(true);
  });

  test("too-many-links where all together have three quarters of the links, be it without a word: agents of tunnels have the rest", async () => {
    const desk = deskWith(mayCall, { maxLinks: 8 });
    const first = await desk.call({ kind: "connect" });
    for (let other = 0; other < 5; other++) await desk.dial({ kind: "egress", token: `you${other}` });
    expect(await desk.refusalOf(desk.dial({ kind: "egress", token: "you" }))).toBe("too-many-links");
    first.link.breaks();
    const [silent] = await desk.dial({ kind: "egress", token: "you" });
    expect((await desk.resume(first.welcome, { kind: "connect" })).welcome.resumed).toBe(true);
    expect((await desk.call()).refusal).toBeUndefined();
    expect(await desk.refusalOf(desk.dial())).toBe("too-many-links");
    silent.link.breaks();
    expect(await desk.refusalOf(desk.dial({ kind: "egress", token: "you" }))).toBe("too-many-links");
    expect(await desk.refusalOf(desk.dial())).toBe("none");
  });

  test("never a neighbour's for what agents have: visitors of many tunnels come by its link", async () => {
    const process = "aaaaaaaa";
    const relayTokens = clusterTokens(new Uint8Array(32));
    const desk = deskWith(mayCall, { maxLinks: 4, cluster: { process, relayTokens } });
    const token = await relayToken(relayTokens, "bbbbbbbb", desk.clock.date());
    for (let other = 0; other < 3; other++) await desk.dial({ kind: "egress", token: `you${other}` });
    expect(await desk.refusalOf(desk.dial({ kind: "egress", token: "you" }))).toBe("too-many-links");
    await desk.dial();
    expect(await desk.refusalOf(desk.dial())).toBe("too-many-links");
    expect(await desk.refusalOf(desk.dial({ kind: "relay", name: process, token: "me" }))).toBe(
      "unauthorized",
    );
    expect(await desk.refusalOf(desk.dial({ kind: "relay", name: process, token }))).toBe("none");
  });

  test("kind-unavailable where the relay was started without what the kind needs", async () => {
    const desk = deskWith(mayCall);
    desk.offered = (kind) => kind === "http";
    expect(await desk.refusalOf(desk.call({ kind: "private" }))).toBe("kind-unavailable");
  });
});

describe("tunnels of one name and several kinds", () => {
  test("a newer instance of another kind takes over, and its visitors are not the older's", async () => {
    const desk = new Desk();
    const old = await desk.call();
    await desk.call({ kind: "private", instance: instance("b") });
    expect(desk.tunnels.find("blue")?.reaches("private")).toBe(true);
    expect(desk.tunnels.find("blue")?.reaches("http")).toBe(false);
    await turn();
    expect(old.told()).toContainEqual(expect.objectContaining({ record: "GOAWAY", code: "superseded" }));
    expect(desk.tunnels.expects("blue", "http", desk.clock.now())).toBe(false);
  });

  test("one that joins must be of the same kind", async () => {
    const desk = new Desk();
    await desk.call();
    const other = { instance: instance("b"), join: true };
    expect((await desk.call({ kind: "private", ...other })).refusal).toBe("kind-forbidden");
    expect((await desk.call(other)).refusal).toBeUndefined();
  });
});
