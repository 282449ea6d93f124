import { expect, test } from "bun:test";
import { type MessageSocket, MessageSocketLink } from "../../shared/links/message-socket.ts";
import { Gauge } from "../../shared/mux/gauge.ts";
import { VirtualClock } from "../agent/virtual-clock.ts";

/** A platform's WebSocket that sends nothing until the test says so. */
class FakeSocket extends EventTarget {
  readonly readyState = 1;
  bufferedAmount = 0;

  send(data: Uint8Array): void {
    this.bufferedAmount += data.length;
  }
  close(): void {}
}

function setUp() {
  const [clock, held, socket] = [new VirtualClock(), new Gauge(), new FakeSocket()];
  const link = MessageSocketLink.listenTo(socket as unknown as MessageSocket, { clock, held });
  return { clock, held, socket, link };
}

test("what the platform has queued of a link is counted", () => {
  const { clock, held, socket, link } = setUp();
  link.send(new Uint8Array(1_000));
  link.send(new Uint8Array(500));
  expect(held.now).toBe(1_500);
  socket.bufferedAmount = 200;
  clock.advance(2);
  expect(held.now).toBe(200);
  socket.bufferedAmount = 0;
  clock.advance(2);
  expect([held.now, held.most, clock.timers]).toEqual([0, 1_500, 0]);
});

test("what is left of a link that was dropped stays counted until its socket is over", async () => {
  const { clock, held, socket, link } = setUp();
  link.send(new Uint8Array(1_000));
  let closed = 0;
  link.handler = { ...link.handler, closed: () => closed++ };
  link.destroy();
  await new Promise((resolve) => clock.soon(() => resolve(undefined)));
  expect([closed, held.now]).toEqual([1, 1_000]);
  clock.advance(10_000);
  expect(held.now).toBe(1_000);
  socket.dispatchEvent(new Event("error"));
  clock.advance(1_000);
  expect([closed, held.now, clock.timers]).toEqual([1, 0, 0]);
});
