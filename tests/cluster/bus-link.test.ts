import { expect, test } from "bun:test";
import { UnderpassError } from "../../shared/errors.ts";
import type { Link } from "../../shared/link.ts";
import { acceptBusLinks, type BusDial, dialBusLink } from "../../shared/links/bus-dial.ts";
import { VirtualClock } from "../agent/virtual-clock.ts";
import { busLinks } from "../conformance/bus-links.ts";
import { LinkEar } from "../conformance/link-ear.ts";
import { MemoryNetwork } from "./memory-bus.ts";

const cluster = "blue";

function network() {
  const clock = new VirtualClock();
  const network = new MemoryNetwork(clock);
  return { clock, network, one: network.end(), two: network.end() };
}

test("a message that got lost ends the link at both ends, and nothing after it is taken", async () => {
  const { clock, network: wires, one, two } = network();
  const { agent, relay } = await busLinks(one, two, clock);
  const [left, right] = [new LinkEar(agent), new LinkEar(relay)];
  agent.send(new Uint8Array([1]));
  await right.until(() => right.messages.length === 1);
  wires.loses = (subject) => subject.endsWith(".up");
  agent.send(new Uint8Array([2]));
  wires.loses = () => false;
  agent.send(new Uint8Array([3]));
  await right.until(() => right.closes.length === 1);
  await left.until(() => left.closes.length === 1);
  expect(right.messages).toEqual([new Uint8Array([1])]);
  expect([...left.closes, ...right.closes]).toEqual([
    [1006, ""],
    [1006, ""],
  ]);
  expect([...one.subjects, ...two.subjects]).toEqual([]);
});

test("an end that is cut off from the bus closes its link, and hears nothing more when it is back", async () => {
  const { clock, one, two } = network();
  const { agent, relay } = await busLinks(one, two, clock);
  const [left, right] = [new LinkEar(agent), new LinkEar(relay)];
  two.cut(true);
  expect(right.closes).toEqual([[1006, ""]]);
  expect(left.closes).toEqual([]);
  two.cut(false);
  agent.send(new Uint8Array(1));
  await one.flushed();
  expect(right.bytes).toBe(0);
  one.cut(true);
  expect(left.closes).toEqual([[1006, ""]]);
});

test("a message larger than any link carries closes it with 1009", async () => {
  const { clock, one, two } = network();
  const { agent, relay } = await busLinks(one, two, clock);
  const [left, right] = [new LinkEar(agent), new LinkEar(relay)];
  agent.send(new Uint8Array(65_537));
  await right.until(() => right.closes.length === 1);
  await left.until(() => left.closes.length === 1);
  expect(left.closes[0]?.[0]).toBe(1009);
  expect(right.bytes).toBe(0);
});

test("who is dialled sees who dials and for what; a refusal is told by its code, and leaves nothing behind", async () => {
  const { clock, one, two } = network();
  const dials: BusDial[] = [];
  acceptBusLinks(
    { bus: two, clock, cluster },
    {
      id: "bbbbbbbb",
      admit: async (dial) => {
        dials.push(dial);
        throw new UnderpassError("unauthorized");
      },
      arrived: () => expect.unreachable(),
    },
  );
  const dial = { from: "aaaaaaaa", token: "T", session: "S" };
  const result = await new Promise<Link | UnderpassError>((done) => {
    dialBusLink({ bus: one, clock, cluster }, "bbbbbbbb", dial, done);
  });
  expect(result).toBeInstanceOf(UnderpassError);
  expect((result as UnderpassError).code).toBe("unauthorized");
  expect(dials).toEqual([dial]);
  expect(one.subjects).toEqual([]);
});

test("where nobody hears, the dial fails at once; where nobody answers, after 2 s; given up, it is never told", async () => {
  const { clock, one, two } = network();
  const dial = { from: "aaaaaaaa", token: "T" };
  const call = (): Promise<Link | UnderpassError> =>
    new Promise((done) => {
      dialBusLink({ bus: one, clock, cluster }, "bbbbbbbb", dial, done);
    });
  expect(await call()).toMatchObject({ code: "relay-unreachable" });
  const stop = two.subscribe("underpass.blue.dial.bbbbbbbb", () => {});
  const late = call();
  clock.advance(2_000);
  expect(await late).toMatchObject({ code: "relay-unreachable" });
  const giveUp = dialBusLink({ bus: one, clock, cluster }, "bbbbbbbb", dial, () => expect.unreachable());
  giveUp();
  clock.advance(2_000);
  await one.flushed();
  expect(one.subjects).toEqual([]);
  stop();
});

test("a dial that says nothing sensible is refused", async () => {
  const { clock, one, two } = network();
  acceptBusLinks(
    { bus: two, clock, cluster },
    { id: "bbbbbbbb", admit: async () => expect.unreachable(), arrived: () => expect.unreachable() },
  );
  for (const text of ["", "[]", "null", '{"link":"short","from":"a","token":"T"}', '{"link":7}']) {
    const bytes = new TextEncoder().encode(text);
    const answer = await one.request("underpass.blue.dial.bbbbbbbb", bytes, 1_000);
    expect(JSON.parse(new TextDecoder().decode(answer))).toEqual({ code: "bad-request" });
  }
});
