import { expect, test } from "bun:test";
import { EventLinks } from "../../relay/event-links.ts";
import { eventStreamLimits } from "../../shared/links/event-stream-limits.ts";
import type { EventSink } from "../../shared/links/event-stream-sink.ts";
import { Memory } from "../../shared/mux/memory.ts";
import { VirtualClock } from "../agent/virtual-clock.ts";

/** The way down of a link: what its POSTs are to say, and whether it was broken off. */
class Down implements EventSink {
  handler = { drained() {}, closed() {} };
  readonly queued = 0;
  destroyed = false;
  fields = { link: "", secret: "" };

  write(bytes: Uint8Array): number {
    const [, json] = /^event: open\ndata: (.*)\n/.exec(new TextDecoder().decode(bytes)) ?? [];
    if (json !== undefined) this.fields = JSON.parse(json);
    return 0;
  }
  end(): void {}
  destroy(): void {
    this.destroyed = true;
    setImmediate(() => this.handler.closed());
  }
}

test("what all links together hold is bounded, also where the POSTs had begun before there was much of it", async () => {
  const random = (bytes: Uint8Array<ArrayBuffer>) => crypto.getRandomValues(bytes);
  const links = new EventLinks({ clock: new VirtualClock(), random, memory: new Memory(0) });
  const bodies = Array.from({ length: 240 }, () => {
    const down = new Down();
    links.open("blue", down);
    const post = links.post({ name: "blue", ...down.fields, number: 2 });
    if (typeof post === "string") throw new Error(post);
    expect(post.body.push(new Uint8Array(1))).toBe(true);
    return { down, body: post.body };
  });
  const most = new Uint8Array(eventStreamLimits.maxPostBytes - 1);
  for (const { body } of bodies) body.push(most);
  const dropped = bodies.filter(({ down }) => down.destroyed);
  // In 96 MiB are 191 of them, and the first bytes of the others.
  expect(dropped.length).toBe(49);
  const [first] = bodies;
  const overtakes = { name: "blue", ...(first?.down.fields ?? { link: "", secret: "" }), number: 3 };
  expect(links.post(overtakes)).toBe("busy");
  expect(links.post({ ...overtakes, number: 1 })).toBeObject();
  await new Promise((resolve) => setImmediate(resolve));
  for (const { down } of dropped)
    expect(links.post({ name: "blue", ...down.fields, number: 1 })).toBe("unknown");
});

test("where memory is scarce, or its own bounds are reached, only POSTs whose turn it is are taken in", () => {
  const memory = new Memory(0, { besideBytes: 1_000_000 });
  const bounds = { maxLinks: 2, maxHeldBytes: 1_000, dropsAboveBytes: 5_000 };
  const random = (bytes: Uint8Array<ArrayBuffer>) => crypto.getRandomValues(bytes);
  const links = new EventLinks({ clock: new VirtualClock(), random, memory, bounds });
  const [one, other] = [new Down(), new Down()];
  links.open("blue", one);
  expect(links.isFull("http")).toBe(false);
  links.open("blue", other);
  expect(links.isFull("http")).toBe(true);
  const post = (down: Down, number: number) => {
    const begun = links.post({ name: "blue", ...down.fields, number });
    return typeof begun === "string" ? begun : begun.body;
  };
  const body = post(one, 2);
  if (typeof body === "string") throw new Error(body);
  expect(body.push(new Uint8Array(1_001))).toBe(true);
  expect(memory.beside.now).toBe(1_001);
  expect([post(other, 2), post(other, 1)]).toEqual(["busy", expect.anything()]);
  body.push(new Uint8Array(5_000));
  expect(one.destroyed).toBe(true);
  one.handler.closed();
  expect([memory.beside.now, post(other, 2)]).toEqual([0, expect.anything()]);
  memory.beside.add(1_000_000);
  expect([post(other, 3), post(other, 1)]).toEqual(["busy", expect.anything()]);
});
