import { describe, expect, test } from "bun:test";
import { limits } from "../../shared/mux/limits.ts";
import { Memory } from "../../shared/mux/memory.ts";
import { Session } from "../../shared/mux/session.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import { silentHandler } from "../../shared/mux/stream-handler.ts";

const besideBytes = 1_000_000;
const bounds = { growthBytes: 2 ** 20, maxWindowBytes: 2 ** 18, besideBytes };

/** A relay's session whose agent gives credit and acknowledges nothing. */
function setUp() {
  const memory = new Memory(2 ** 24, bounds);
  const window = limits.initialWindowBytes;
  const session = new Session(
    { side: "relay", window, peerWindow: limits.maxWindowBytes, streams: 8, peerStreams: 8, memory },
    0,
  );
  const open = (handler: StreamHandler = silentHandler, headBytes = 3): Stream => {
    const stream = session.open(1, new Uint8Array(headBytes), handler);
    if (stream === undefined) throw new Error("refused");
    return stream;
  };
  /** Sends what may be sent. Returns how many messages that were. */
  const send = (): number => {
    let messages = 0;
    while (session.poll(0) !== undefined) messages++;
    return messages;
  };
  return { memory, session, open, send };
}

describe("memory with bounds", () => {
  test("lets windows grow no further than they say, and first windows have all but growth", () => {
    const memory = new Memory(2 ** 20, { growthBytes: 2 ** 18 });
    expect(memory.grow(2 ** 18)).toBe(true);
    expect([memory.grow(1), memory.tight, memory.ample]).toEqual([false, true, false]);
    for (let i = 0; i < 12; i++) expect(memory.admit(65_536)).toBe(true);
    expect(memory.admit(65_536)).toBe(false);
  });

  test("counts what waits for the peer and for its acknowledgement, until the session is over", () => {
    const { memory, session, open, send } = setUp();
    const stream = open();
    stream.write(new Uint8Array(50_000));
    expect(memory.beside.now).toBe(session.heldBytes);
    send();
    expect(memory.beside.now).toBe(session.heldBytes);
    expect(memory.beside.now).toBeGreaterThanOrEqual(session.unacknowledgedBytes);
    open().write(new Uint8Array(7));
    session.lost("link-lost");
    expect([memory.beside.now, memory.held.now]).toEqual([0, 0]);
    expect(memory.beside.most).toBeGreaterThan(50_000);
  });
});

describe("where memory is scarce", () => {
  test("a stream takes little before its writer is to wait, and tells when that has left", () => {
    const { memory, open, send } = setUp();
    let writable = 0;
    const stream = open({ ...silentHandler, writable: () => writable++ });
    expect(stream.write(new Uint8Array(limits.scarceQueueHighBytes + 1))).toBe(true);
    send();
    memory.beside.add(besideBytes);
    expect(stream.write(new Uint8Array(limits.scarceQueueHighBytes))).toBe(false);
    memory.beside.add(-besideBytes);
    expect(writable).toBe(0);
    send();
    expect(writable).toBe(1);
  });

  test("a session has little unacknowledged, but one message always goes", () => {
    const { memory, session, open, send } = setUp();
    memory.beside.add(besideBytes);
    const stream = open();
    for (let i = 0; i < 10; i++) stream.write(new Uint8Array(50_000));
    expect(send()).toBe(1);
    expect(session.unacknowledgedBytes).toBeLessThanOrEqual(2 * limits.scarceFlightBytes);
    memory.beside.add(-besideBytes);
    expect(send()).toBeGreaterThan(1);
  });

  test("no stream is opened with a large head", () => {
    const { memory, session, open } = setUp();
    memory.beside.add(besideBytes);
    const large = new Uint8Array(limits.scarceHeadBytes + 1);
    expect(session.open(1, large, silentHandler)).toBeUndefined();
    open(silentHandler, limits.scarceHeadBytes);
    memory.beside.add(-besideBytes);
    open(silentHandler, large.length);
  });

  test("nobody new is let in when it is full", () => {
    const { memory, open } = setUp();
    memory.beside.add(2 * besideBytes - 1_000);
    expect(memory.isFull).toBe(false);
    open();
    memory.beside.add(1_000);
    expect(memory.isFull).toBe(true);
    expect(() => open()).toThrow("refused");
  });

  test("a session keeps a datagram or two, and no more", () => {
    const { memory, session, open } = setUp();
    const stream = open();
    for (let i = 0; i < 10; i++) stream.datagram(new Uint8Array(60_000));
    expect(session.heldBytes).toBeGreaterThan(600_000);
    memory.beside.add(besideBytes);
    stream.datagram(new Uint8Array(60_000));
    expect(session.heldBytes).toBeLessThan(70_000);
  });
});
