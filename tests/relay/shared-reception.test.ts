import { beforeEach, describe, expect, test } from "bun:test";
import { ownerOf } from "../../relay/auth/claims.ts";
import { FarTunnels } from "../../relay/far-tunnels.ts";
import { SharedNames, sharedLimits } from "../../relay/stores/shared-names.ts";
import { TunnelWay } from "../../relay/tunnel-way.ts";
import { streamKinds } from "../../shared/kind.ts";
import { VirtualClock } from "../agent/virtual-clock.ts";
import { turn } from "../shared/driver-bench.ts";
import { MemoryRegistry } from "./memory-registry.ts";
import { Desk, instance } from "./reception-desk.ts";

let registry: MemoryRegistry;
let clock: VirtualClock;
beforeEach(() => {
  registry = new MemoryRegistry();
  clock = new VirtualClock();
});

/** A relay that shares its names with the others. */
function desk(process: string): Desk & { readonly shared: SharedNames } {
  const fault = () => {};
  const shared = new SharedNames({ registry, clock, process, ttlMs: 3_600_000, fault });
  return Object.assign(new Desk({ clock, shared }), { shared });
}

/** As the desk's tokens say it. */
const owner = (subject: string) => ownerOf({ issuer: "underpass", subject });

/** What visitors of that relay find, which has no way to the others. */
const farOf = ({ shared, tunnels, metrics }: ReturnType<typeof desk>) =>
  new FarTunnels({ clock, names: shared, here: tunnels, metrics });

describe("dials at relays that share their names", () => {
  test("at two of them at once: one is let in, and the other told that the name is taken", async () => {
    const [one, other] = [desk("one"), desk("other")];
    const [mine, yours] = await Promise.all([one.call({ token: "me" }), other.call({ token: "you" })]);
    expect([mine.refusal, yours.refusal]).toEqual([undefined, "name-taken"]);
    expect(await other.refusalOf(other.dial({ token: "you" }))).toBe("name-taken");
  });

  test("what is known of the name may be old: its owner of today is let in", async () => {
    const one = desk("one");
    const first = await one.call({ token: "me" });
    first.says({
      ...{ record: "GOAWAY", kind: "bye", code: "goodbye", lastStream: 0, graceMs: 0, reason: "" },
    });
    first.link.breaks();
    await one.shared.commit("blue");
    const found = registry.found.get("blue");
    if (found === undefined) throw new Error("the name was not kept");
    registry.set("blue", { ...found.entry, owner: owner("you") });
    expect(await one.refusalOf(one.dial({ token: "you" }))).toBe("none");
  });

  test("a session that is here is resumed, whatever becomes of the store of names", async () => {
    const [one, other] = [desk("one"), desk("other")];
    const first = await one.call();
    await other.call({ instance: instance("b"), join: true });
    clock.advance(sharedLimits.believedMs);
    expect(one.shared.looksUp("blue")).toBe(true);
    await turn();
    expect(one.shared.isElsewhere("blue")).toBe(true);
    registry.isBroken = true;
    expect((await one.resume(first.welcome)).welcome.resumed).toBe(true);
    // It is no way to another name, nor for another subject.
    const path = first.welcome.session;
    expect(await one.refusalOf(one.dial({ path, name: "red" }))).toBe("registry-unreachable");
    expect(await one.refusalOf(one.dial({ path, token: "you" }))).toBe("name-taken");
    // Who is here needs no write for another session; who is new does.
    expect((await one.call({ slot: 1 })).welcome.resumed).toBe(false);
    expect((await one.call({ instance: instance("c") })).refusal).toBe("registry-unreachable");
  });

  test("a visitor's way to another relay's agent ends with agent-elsewhere, to nobody's with unknown-tunnel", async () => {
    const [one, other] = [desk("one"), desk("other")];
    await one.call();
    const deps = { clock, names: other.names, tunnels: farOf(other) };
    const way = (name: string, service: "http" | "tcp") =>
      new TunnelWay(deps, name, service, streamKinds.http);
    const look = async (each: TunnelWay) => {
      const before = each.expected;
      await turn();
      return [before, each.expected, each.reachable, each.refusal];
    };
    expect(await look(way("blue", "http"))).toEqual([true, false, false, "agent-elsewhere"]);
    expect(await look(way("red", "http"))).toEqual([true, false, false, "unknown-tunnel"]);
    // For a visitor of another kind there is no such tunnel.
    expect(way("blue", "tcp").refusal).toBe("unknown-tunnel");
    // It comes here, and is found.
    await other.call({ instance: instance("b") });
    expect(way("blue", "http").reachable).toBe(true);
    // And the other way round, where it was before.
    clock.advance(sharedLimits.believedMs);
    const back = { clock, names: one.names, tunnels: farOf(one) };
    expect(back.tunnels.expects("blue", "http", clock.now())).toBe(true);
    await turn();
    expect(back.tunnels.expects("blue", "http", clock.now())).toBe(false);
    expect(new TunnelWay(back, "blue", "http", streamKinds.http).refusal).toBe("agent-elsewhere");
  });
});
