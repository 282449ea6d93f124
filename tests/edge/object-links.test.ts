import { expect, test } from "bun:test";
import { ObjectLink } from "../../relay/runtimes/object-links.ts";
import { VirtualClock } from "../agent/virtual-clock.ts";

/** As much of a platform's socket as a link leans on: a copy of what was attached, no larger than the platform takes. */
function setUp() {
  let attached = "null";
  const socket = {
    readyState: 1,
    serializeAttachment(value: unknown) {
      const copy = JSON.stringify(value);
      if (copy.length > 16_384) throw new TypeError("too large");
      attached = copy;
    },
    deserializeAttachment: () => JSON.parse(attached) as unknown,
    send() {},
    close() {},
  } as unknown as WorkersSocket;
  const object = { calledUrl: "https://relay.example" };
  return new ObjectLink(socket, {} as DurableObjectState, object, { clock: new VirtualClock() });
}

test("what is attached is found again, until nothing is", () => {
  const link = setUp();
  expect(link.attached).toBeUndefined();
  link.attach({ id: "a" });
  expect([link.attached, link.calledUrl]).toEqual([{ id: "a" }, "https://relay.example"]);
  link.attach(undefined);
  expect(link.attached).toBeUndefined();
});

test("what does not fit is not there, nor is what was there before", () => {
  const link = setUp();
  link.attach({ id: "a" });
  link.attach({ id: "a".repeat(20_000) });
  expect(link.attached).toBeUndefined();
});

test.each(["close", "destroy"] as const)(
  "after %s nothing is kept of the session: it may have another link",
  (how) => {
    const link = setUp();
    link.attach({ id: "a" });
    link[how](1000, "");
    expect(link.attached).toBeUndefined();
  },
);
