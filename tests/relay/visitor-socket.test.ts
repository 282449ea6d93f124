import { expect, test } from "bun:test";
import { VisitorSocket } from "../../relay/ingress/visitor-socket.ts";
import type { MessageSocket } from "../../shared/links/message-socket.ts";
import { limits } from "../../shared/mux/limits.ts";
import { Memory } from "../../shared/mux/memory.ts";
import { Session } from "../../shared/mux/session.ts";
import { silentHandler } from "../../shared/mux/stream-handler.ts";
import { encodeFrame, opcodes } from "../../shared/websocket/frame.ts";
import { VirtualClock } from "../agent/virtual-clock.ts";

const besideBytes = 1_000_000;

/** A platform's WebSocket that sends nothing until the test says so. */
class FakeSocket extends EventTarget {
  readonly readyState = 1;
  readonly messages: (string | ArrayBufferLike)[] = [];
  closedWith: number | undefined;
  bufferedAmount: number | undefined = 0;

  send(data: unknown): void {
    const bytes = data as Uint8Array;
    this.messages.push(bytes.buffer);
    if (this.bufferedAmount !== undefined) this.bufferedAmount += bytes.length;
  }
  close(code?: number): void {
    this.closedWith ??= code ?? 1005;
  }
  says(bytes: Uint8Array): void {
    this.dispatchEvent(new MessageEvent("message", { data: bytes.slice().buffer }));
  }
  breaks(): void {
    this.dispatchEvent(new Event("error"));
  }
}

function setUp() {
  const memory = new Memory(2 ** 24, { besideBytes });
  const clock = new VirtualClock();
  const socket = new FakeSocket();
  const window = limits.initialWindowBytes;
  const session = new Session(
    { side: "relay", window, peerWindow: window, streams: 8, peerStreams: 8, memory },
    0,
  );
  const stream = session.open(1, new Uint8Array(3), silentHandler);
  if (stream === undefined) throw new Error("refused");
  const ends = { sent() {}, received() {}, over() {} };
  const visitor = new VisitorSocket(socket as unknown as MessageSocket, stream, { clock, memory }, ends);
  stream.handler = visitor;
  /** What is held for this visitor: not the stream's OPEN. */
  const held = () => [memory.onCredit.now, memory.beside.now - session.heldBytes];
  return { memory, clock, socket, stream, visitor, held };
}

const frame = (bytes: number) => encodeFrame(opcodes.binary, new Uint8Array(bytes));

test("what the platform has queued is counted until it has gone", () => {
  const { socket, visitor, clock, held } = setUp();
  visitor.data(frame(10_000));
  expect(held()).toEqual([10_000, 256]);
  visitor.data(frame(200));
  expect(held()).toEqual([10_200, 512]);
  socket.bufferedAmount = 0;
  clock.advance(10);
  expect(held()).toEqual([0, 0]);
});

test("of a visitor who is always a little behind, only the messages are counted that still wait", () => {
  const { memory, socket, visitor, clock, held } = setUp();
  // As many as would be more than there is room for, if each counted for ever.
  for (let sent = 0; sent < besideBytes / 200; sent++) {
    visitor.data(frame(100));
    socket.bufferedAmount = 1_000;
    clock.advance(10);
  }
  expect(held()).toEqual([1_000, 10 * 256]);
  expect([memory.isScarce, socket.closedWith]).toEqual([false, undefined]);
});

test("a small message does not keep what it came in", () => {
  const { socket, visitor } = setUp();
  const message = new Uint8Array(60_000);
  message.set(frame(10), 100);
  visitor.data(message.subarray(100, 112));
  expect(socket.messages[0]).toMatchObject({ byteLength: 10 });
});

test("a message on its way is counted as what it will be", () => {
  const { visitor, held } = setUp();
  const whole = frame(100_000);
  visitor.data(whole.slice(0, 50));
  expect(held()).toEqual([0, 100_000]);
  visitor.data(whole.slice(50));
  // More than the window is on nobody's credit.
  expect(held()).toEqual([limits.initialWindowBytes, 100_000 - limits.initialWindowBytes + 256]);
});

test("a message that there is no room for closes the visitor with 1013; a small one always has room", () => {
  const { memory, socket, visitor } = setUp();
  memory.beside.add(besideBytes);
  visitor.data(frame(5_000).slice(0, 50));
  expect(socket.closedWith).toBeUndefined();
  const other = setUp();
  other.memory.beside.add(besideBytes);
  other.visitor.data(frame(50_000).slice(0, 50));
  expect(other.socket.closedWith).toBe(1013);
});

test("a visitor who says more than there is room for is closed with 1013; a little always has room", () => {
  const { memory, socket } = setUp();
  socket.says(new Uint8Array(500_000));
  expect(socket.closedWith).toBeUndefined();
  socket.says(new Uint8Array(600_000));
  expect(socket.closedWith).toBe(1013);
  expect(memory.beside.most).toBeLessThan(besideBytes);
  const other = setUp();
  other.memory.beside.add(besideBytes);
  other.socket.says(new Uint8Array(5_000));
  expect(other.socket.closedWith).toBeUndefined();
  other.socket.says(new Uint8Array(5_000));
  expect(other.socket.closedWith).toBe(1013);
});

test("what a closed visitor does not take stays counted until he is gone, or a minute has passed", () => {
  const { socket, visitor, clock, held } = setUp();
  visitor.data(frame(10_000));
  visitor.end();
  expect(held()).toEqual([10_000, 256]);
  clock.advance(30_000);
  expect(held()).toEqual([10_000, 256]);
  const other = setUp();
  other.visitor.data(frame(10_000));
  other.visitor.end();
  other.clock.advance(70_000);
  expect([other.held(), other.clock.timers]).toEqual([[0, 0], 0]);
  socket.breaks();
  expect(held()).toEqual([0, 0]);
  clock.advance(1_000);
  expect(clock.timers).toBe(0);
});

test("nothing is known where the platform does not tell", () => {
  const { socket, visitor, clock, held } = setUp();
  socket.bufferedAmount = undefined;
  visitor.data(frame(10_000));
  expect(held()).toEqual([0, 0]);
  expect(clock.timers).toBe(0);
});
