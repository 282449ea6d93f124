import { describe, expect, test } from "bun:test";
import { DialEnd } from "../../shared/pipe-ends/dial-end.ts";
import { SocketEnd } from "../../shared/pipe-ends/socket-end.ts";
import type { DialHandler, Socket, SocketHandler } from "../../shared/socket.ts";
import { type SpliceEnd, splice } from "../../shared/splice.ts";
import { FakePipeEnd } from "./fake-pipe-end.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

class FakeSocket implements Socket {
  handler: SocketHandler = { data() {}, drained() {}, ended() {}, closed() {} };
  readonly remote = "";
  readonly local = "";
  queued = 0;
  readonly calls: string[] = [];
  write(written: Uint8Array): number {
    if (written.length > 0) this.calls.push(new TextDecoder().decode(written));
    return this.queued;
  }
  end(): void {
    this.calls.push("end()");
  }
  destroy(): void {
    this.calls.push("destroy()");
    this.handler.closed({ reset: false });
  }
  pause(): void {
    this.calls.push("pause()");
  }
  resume(): void {
    this.calls.push("resume()");
  }
}

function spliced(first?: Uint8Array) {
  const socket = new FakeSocket();
  const other = new FakePipeEnd();
  const ends: SpliceEnd[] = [];
  splice(other, new SocketEnd(socket, { broken: "origin-closed", ...(first && { first }) }), (end) =>
    ends.push(end),
  );
  return { socket, other, ends };
}

describe("a socket as the end of a pipe", () => {
  test("gives first what it had given already", () => {
    const { socket, other } = spliced(bytes("early "));
    socket.handler.data(bytes("late"));
    expect(other.text).toBe("early late");
  });

  test("is paused above 256 KiB that wait elsewhere, and resumed below 64 KiB", () => {
    const { socket, other } = spliced();
    const says = (weighs: number) => {
      other.weighs = weighs;
      socket.handler.data(bytes("x"));
    };
    says(262_144);
    expect(socket.calls).toEqual([]);
    says(262_145);
    says(300_000);
    expect(socket.calls).toEqual(["pause()"]);
    other.drains(65_536);
    expect(socket.calls).toEqual(["pause()"]);
    other.drains(65_535);
    other.drains(0);
    expect(socket.calls).toEqual(["pause()", "resume()"]);
  });

  test("says what is queued in it", () => {
    const { socket, other } = spliced();
    socket.queued = 900;
    other.says("x");
    expect(other.heldBytes).toBe(900);
    socket.queued = 20;
    socket.handler.drained();
    expect(other.heldBytes).toBe(20);
  });

  test("that is closed in order after both ends is no break, and all that waited has left", () => {
    const { socket, other, ends } = spliced();
    socket.queued = 5;
    other.says("bytes");
    other.handler.ended();
    socket.handler.ended();
    expect(ends).toEqual([]);
    socket.queued = 0;
    socket.handler.closed({ reset: false });
    expect(ends).toEqual([{ forth: 5, back: 0 }]);
    expect(socket.calls).toEqual(["bytes", "end()"]);
  });

  const breaks: [string, (socket: FakeSocket, other: FakePipeEnd) => void][] = [
    ["reset", ({ handler }) => handler.closed({ reset: true })],
    ["closed before either direction ended", ({ handler }) => handler.closed({ reset: false })],
    [
      "closed before its own direction ended",
      (socket, other) => {
        other.handler.ended();
        socket.handler.closed({ reset: false });
      },
    ],
    [
      "reset after both ended, with bytes that wait",
      (socket, other) => {
        socket.queued = 1;
        other.handler.ended();
        socket.handler.ended();
        socket.handler.closed({ reset: true });
      },
    ],
  ];
  test.each(breaks)("that is %s breaks the other end with its code", (_, breakOff) => {
    const { socket, other, ends } = spliced();
    breakOff(socket, other);
    expect([other.abortedWith, ends]).toEqual([
      "origin-closed",
      [{ forth: 0, back: 0, code: "origin-closed" }],
    ]);
  });

  test("is destroyed when the other end breaks, and says nothing of that itself", () => {
    const { socket, other, ends } = spliced();
    other.handler.aborted("cancelled");
    socket.handler.data(bytes("late"));
    expect([socket.calls, other.text, other.abortedWith]).toEqual([["destroy()"], "", undefined]);
    expect(ends).toEqual([{ forth: 0, back: 0, code: "cancelled" }]);
  });
});

function dialling() {
  const socket = new FakeSocket();
  const other = new FakePipeEnd();
  const ends: SpliceEnd[] = [];
  let handler: DialHandler | undefined;
  let cancelled = 0;
  const end = new DialEnd({
    dial: (_target, _timeoutMs, given) => {
      handler = given;
      return () => void cancelled++;
    },
    target: { port: 1 },
    timeoutMs: 1_000,
    code: (reason) => (reason === "timeout" ? "origin-timeout" : "origin-refused"),
    opened: (opened) => void opened.write(bytes("hello ")),
  });
  splice(other, end, (told) => ends.push(told));
  const answer = (): DialHandler => handler ?? { opened() {}, failed() {} };
  return { socket, other, ends, answer, cancelled: () => cancelled };
}

describe("a dial as the end of a pipe", () => {
  test("keeps what comes before it is open, weighs it, and sends it after what it has to say itself", () => {
    const { socket, other, answer } = dialling();
    other.says("early ");
    other.says("bytes");
    expect(other.heldBytes).toBe(11);
    answer().opened(socket);
    expect([socket.calls, other.heldBytes]).toEqual([["hello ", "early ", "bytes"], 0]);
    other.says("late");
    socket.handler.data(bytes("answer"));
    expect([socket.calls.at(-1), other.text]).toEqual(["late", "answer"]);
  });

  test("ends its direction when it is open, where that was asked for before", () => {
    const { socket, other, ends, answer } = dialling();
    other.says("all");
    other.handler.ended();
    answer().opened(socket);
    expect(socket.calls).toEqual(["hello ", "all", "end()"]);
    socket.handler.ended();
    socket.handler.closed({ reset: false });
    expect(ends).toEqual([{ forth: 3, back: 0 }]);
  });

  test("that fails breaks the other end with the code of its failure", () => {
    const { other, ends, answer } = dialling();
    other.says("lost");
    answer().failed("timeout", "");
    expect([other.abortedWith, ends]).toEqual([
      "origin-timeout",
      [{ forth: 4, back: 0, code: "origin-timeout" }],
    ]);
  });

  test("is given up when the other end breaks", () => {
    const { other, ends, cancelled } = dialling();
    other.handler.aborted("cancelled");
    expect([cancelled(), ends[0]?.code]).toEqual([1, "cancelled"]);
  });

  test("that is open is destroyed when the other end breaks", () => {
    const { socket, other, answer, cancelled } = dialling();
    answer().opened(socket);
    other.handler.aborted("cancelled");
    expect([cancelled(), socket.calls.at(-1)]).toEqual([0, "destroy()"]);
  });
});
