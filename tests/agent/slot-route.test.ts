import { expect, test } from "bun:test";
import type { RelayDoor } from "../../agent/agent.ts";
import { type Place, Places } from "../../agent/places.ts";
import { SlotRoute } from "../../agent/slot-route.ts";
import type { Greeted } from "../../shared/dial/greeting.ts";
import { RelayRefusal } from "../../shared/dial/relay-refusal.ts";
import { UnderpassError } from "../../shared/errors.ts";
import { urlOf } from "./cluster-bench.ts";
import { VirtualClock } from "./virtual-clock.ts";

const lost = new UnderpassError("link-lost");
const door: RelayDoor = { openLink: () => () => {}, requestName: () => () => {} };

/** The routes of `count` slots whose agent was given the relays `names`. */
function routesTo(names: string, count: number) {
  const clock = new VirtualClock();
  const closed: string[] = [];
  const places = new Places({
    ...{ relays: [...names].map((name) => new URL(urlOf(name))), insecure: false },
    door: ({ host }) => ({ ...door, follow: () => () => void closed.push(host) }),
    move: () => ({ begun: 0, left: 0 }),
  });
  const routes: SlotRoute[] = [];
  for (let slot = 0; slot < count; slot++) routes.push(new SlotRoute(places, clock, routes));
  return { clock, places, routes, closed };
}

const nameOf = ({ relay }: Place): string | undefined => relay.host[0];

function route(names: string) {
  const rig = routesTo(names, 1);
  const [only] = rig.routes;
  if (only === undefined) throw new Error("no route");
  const fails = (session?: string, error: UnderpassError = lost): string | undefined => {
    const name = nameOf(only.next(session));
    only.refused(error, session, { spare: false });
    return name;
  };
  return { ...rig, only, fails };
}

/** What a route looks at in a WELCOME. */
function welcome(session: string, resume: string | undefined, relays = ""): Greeted {
  const hello = resume === undefined ? {} : { resume: { session: resume } };
  const named = [...relays].map(urlOf);
  return { hello, welcome: { session, resumed: resume === session, relays: named } } as unknown as Greeted;
}

test("fresh dials go round, and so do those for a session, which begin where its link was", () => {
  const { only, fails } = route("abc");
  expect([fails(), fails(), fails(), fails()]).toEqual(["a", "b", "c", "a"]);
  expect(nameOf(only.next(undefined))).toBe("b");
  only.greeted(welcome("s", undefined, "ac"));
  expect([fails("s"), fails("s"), fails("s"), fails("s")]).toEqual(["b", "a", "c", "b"]);
});

test("a renewal that fails leaves the session where its link is; so does a suspicion that is over", () => {
  const { only, fails } = route("ab");
  only.next(undefined);
  only.greeted(welcome("s", undefined));
  only.next("s");
  only.refused(lost, "s", { spare: true });
  expect(fails("s")).toBe("a");
  only.settled();
  expect(fails("s")).toBe("a");
  expect(fails("s")).toBe("b");
});

test("a session that only finishes its streams has a way of its own", () => {
  const { only, fails } = route("ab");
  only.next(undefined);
  only.greeted(welcome("old", undefined));
  only.left();
  expect(nameOf(only.next(undefined))).toBe("b");
  only.greeted(welcome("new", undefined));
  expect([fails("old"), fails("new")]).toEqual(["a", "b"]);
  only.next("old");
  only.next("old");
  only.greeted(welcome("old", "old"));
  expect(only.at && nameOf(only.at)).toBe("b");
});

test("what a session has met is known to the fresh one that takes its place", () => {
  const { only, fails } = route("abc");
  only.next(undefined);
  only.greeted(welcome("s", undefined, "bc"));
  expect(fails("s")).toBe("a");
  expect(fails("s", new RelayRefusal("session-elsewhere"))).toBe("b");
  expect([fails(), fails(), fails()]).toEqual(["b", "c", "a"]);
});

test("where a relay asked to be left alone the others are dialled meanwhile, without a wait", () => {
  const { only, clock, fails } = route("ab");
  expect(nameOf(only.next(undefined))).toBe("a");
  const busy = new RelayRefusal("too-many-links", "busy", 5_000);
  expect(only.refused(busy, undefined, { spare: false })).toMatchObject({ retryAfterMs: 0 });
  expect([fails(), fails()]).toEqual(["b", "b"]);
  only.next(undefined);
  const later = new RelayRefusal("too-many-links", "busy", 9_000);
  const both = only.refused(later, undefined, { spare: false });
  expect(both).toMatchObject({ code: "too-many-links", retryAfterMs: 5_000 });
  clock.advance(5_000);
  expect(fails()).toBe("a");
});

test("with one relay a refusal is what it was, and it is dialled for ever", () => {
  const { only, fails } = route("a");
  const busy = new RelayRefusal("too-many-links", "busy", 5_000);
  expect(nameOf(only.next(undefined))).toBe("a");
  expect(only.refused(busy, undefined, { spare: false })).toBe(busy);
  only.left();
  expect([fails(), fails(), fails("s")]).toEqual(["a", "a", "a"]);
});

test("a relay that is named no more is forgotten once no slot is there", () => {
  const { routes, places, closed } = routesTo("a", 2);
  const [zero, one] = routes;
  if (zero === undefined || one === undefined) throw new Error("no routes");
  zero.next(undefined);
  zero.greeted(welcome("s0", undefined, "bc"));
  expect(nameOf(one.next(undefined))).toBe("b");
  one.greeted(welcome("s1", undefined, "a"));
  expect([places.all.map(nameOf).join(""), closed]).toEqual(["ab", ["c.example"]]);
  zero.next("s0");
  zero.greeted(welcome("s0", "s0"));
  expect([places.all.map(nameOf).join(""), closed]).toEqual(["a", ["c.example"]]);
  // Its session goes on there.
  expect(nameOf(one.next("s1"))).toBe("b");
  one.refused(lost, "s1", { spare: false });
  one.next("s1");
  one.greeted(welcome("s2", "s1"));
  expect([one.at && nameOf(one.at), closed]).toEqual(["a", ["c.example", "b.example"]]);
});
