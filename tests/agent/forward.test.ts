import { afterEach, describe, expect, test } from "bun:test";
import { once } from "node:events";
import net from "node:net";
import type { Doorway } from "../../agent/local/doorway.ts";
import { type ForwardOptions, startForward } from "../../agent/local/forward.ts";
import type { StreamEvent } from "../../agent/screen/events.ts";
import { dial, listen } from "../../shared/runtimes/bun-sockets.ts";
import { systemClock } from "../../shared/runtimes/system-clock.ts";
import { RawService } from "../origins/places.ts";
import { VirtualClock } from "./virtual-clock.ts";

const mebibyte = 1_048_576;
const cleanup: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const run of cleanup.splice(0).reverse()) await run();
});

/** The events of a proxy, with a way to wait for them. */
class Log {
  readonly events: StreamEvent[] = [];
  #look = (): void => {};
  readonly add = (event: StreamEvent): void => {
    this.events.push(event);
    this.#look();
  };
  async until(count: number): Promise<readonly StreamEvent[]> {
    while (this.events.length < count) await new Promise<void>((resolve) => (this.#look = resolve));
    return this.events;
  }
}

async function place(
  accept: (socket: net.Socket) => void,
  options: Partial<ForwardOptions> = {},
): Promise<{ service: RawService; forward: Doorway; log: Log; visit(): net.Socket }> {
  const service = await RawService.listen(accept);
  const log = new Log();
  const forward = await startForward({
    listen,
    dial,
    clock: systemClock,
    listenAt: { host: "127.0.0.1", port: 0 },
    to: service.target,
    onStream: log.add,
    ...options,
  });
  cleanup.push(
    () => service[Symbol.asyncDispose](),
    () => forward.close(0),
  );
  const visit = (): net.Socket => {
    const socket = net.connect({ host: "127.0.0.1", port: forward.port, allowHalfOpen: true });
    socket.on("error", () => {});
    cleanup.push(() => void socket.destroy());
    return socket;
  };
  return { service, forward, log, visit };
}

/** All that comes until the far end's end. */
async function readAll(socket: net.Socket): Promise<Buffer> {
  const parts: Buffer[] = [];
  socket.on("data", (bytes: Buffer) => parts.push(bytes));
  await once(socket, "end");
  return Buffer.concat(parts);
}

/** How the far end broke off; rejects when it ended in order. */
async function reset(socket: net.Socket): Promise<string> {
  socket.resume();
  return new Promise((resolve, reject) => {
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "error"));
    socket.on("end", () => reject(new Error("it ended in order")));
  });
}

const pattern = (length: number): Buffer => {
  const bytes = Buffer.allocUnsafe(length);
  for (let at = 0; at < length; at++) bytes[at] = (at * 7 + (at >>> 9)) & 255;
  return bytes;
};

describe("a forward", () => {
  test("gives a visitor who half-closes the whole answer, and counts both ways", async () => {
    const answer = pattern(8 * mebibyte);
    const questions: Buffer[] = [];
    const { log, visit } = await place(async (socket) => {
      questions.push(await readAll(socket));
      socket.end(answer);
    });
    const visitor = visit();
    visitor.end("question");
    expect((await readAll(visitor)).equals(answer)).toBe(true);
    expect(questions.map(String)).toEqual(["question"]);
    expect(await log.until(1)).toEqual([
      { event: "stream", kind: "forward", bytesIn: 8, bytesOut: answer.length, end: "closed" },
    ]);
  });

  test("takes all that a visitor sends after the target has half-closed", async () => {
    const upload = pattern(8 * mebibyte);
    const got = Promise.withResolvers<Buffer>();
    const { log, visit } = await place(async (socket) => {
      socket.end("hello");
      got.resolve(await readAll(socket));
    });
    const visitor = visit();
    expect(String(await readAll(visitor))).toBe("hello");
    visitor.end(upload);
    expect((await got.promise).equals(upload)).toBe(true);
    expect(await log.until(1)).toMatchObject([{ bytesIn: upload.length, bytesOut: 5, end: "closed" }]);
  });

  test("slows a sender by its reader, and loses nothing", async () => {
    const total = 64 * mebibyte;
    const service = Promise.withResolvers<net.Socket>();
    const paused = Promise.withResolvers<"paused">();
    let mostQueued = 0;
    const { log, visit } = await place(
      (socket) => {
        socket.pause();
        service.resolve(socket);
      },
      {
        listen: (at, accept) =>
          listen(at, (socket) => {
            const { pause } = socket;
            socket.pause = () => {
              // It is paused until the target has answered, too.
              if (mostQueued > 0) paused.resolve("paused");
              pause.call(socket);
            };
            accept(socket);
          }),
        dial: (target, timeoutMs, handler) =>
          dial(target, timeoutMs, {
            opened(socket) {
              const { write } = socket;
              socket.write = (bytes) => {
                const queued = write.call(socket, bytes);
                mostQueued = Math.max(mostQueued, queued);
                return queued;
              };
              handler.opened(socket);
            },
            failed: (reason, detail) => handler.failed(reason, detail),
          }),
      },
    );
    const visitor = visit();
    const piece = pattern(mebibyte);
    for (let sent = 0; sent < total; sent += mebibyte) visitor.write(piece);
    visitor.end();
    const taken = once(visitor, "finish").then(() => "taken");
    expect(await Promise.race([paused.promise, taken])).toBe("paused");
    const reader = await service.promise;
    let came = 0;
    reader.on("data", (bytes: Buffer) => {
      came += bytes.length;
    });
    reader.resume();
    await once(reader, "end");
    expect(came).toBe(total);
    // What made it pause, and what was being read then.
    expect(mostQueued).toBeLessThan(mebibyte);
    reader.end();
    expect(await log.until(1)).toMatchObject([{ bytesIn: total, bytesOut: 0, end: "closed" }]);
  });

  test("passes a visitor's reset on as a reset", async () => {
    const broken = Promise.withResolvers<string>();
    const { log, visit } = await place((socket) => {
      socket.write("x");
      reset(socket).then(broken.resolve, broken.reject);
    });
    const visitor = visit();
    await once(visitor, "data");
    visitor.resetAndDestroy();
    expect(await broken.promise).toBe("ECONNRESET");
    expect(await log.until(1)).toMatchObject([{ bytesOut: 1, end: "reset", code: "cancelled" }]);
  });

  test("passes the target's reset on as a reset", async () => {
    const { log, visit } = await place((socket) => {
      socket.once("data", () => socket.resetAndDestroy());
    });
    const visitor = visit();
    visitor.write("x");
    expect(await reset(visitor)).toBe("ECONNRESET");
    expect(await log.until(1)).toMatchObject([{ bytesIn: 1, end: "reset", code: "origin-closed" }]);
  });

  test("resets a visitor for whom nothing listens, and says why", async () => {
    const { forward, log, visit } = await place(() => {}, { to: { host: "127.0.0.1", port: 1 } });
    const visitor = visit();
    visitor.write("into the void");
    expect(await reset(visitor)).toBe("ECONNRESET");
    expect(await log.until(1)).toMatchObject([
      { bytesIn: 0, bytesOut: 0, end: "reset", code: "origin-refused" },
    ]);
    expect(forward.openStreams).toBe(0);
  });

  test("gives the dial up when the visitor breaks off before it is answered", async () => {
    let cancelled = 0;
    const dialling = Promise.withResolvers<void>();
    const never = (): (() => void) => {
      dialling.resolve();
      return () => void cancelled++;
    };
    const { forward, log, visit } = await place(() => {}, { dial: never });
    const visitor = visit();
    await dialling.promise;
    visitor.resetAndDestroy();
    expect(await log.until(1)).toMatchObject([{ end: "reset", code: "cancelled" }]);
    expect([cancelled, forward.openStreams]).toEqual([1, 0]);
  });

  test("takes a bare port for this machine", async () => {
    const service = await RawService.listen((socket) => socket.end("six"), "::1");
    cleanup.push(() => service[Symbol.asyncDispose]());
    const { visit } = await place(() => {}, { to: { port: service.port } });
    const visitor = visit();
    visitor.end();
    expect(String(await readAll(visitor))).toBe("six");
  });

  test("cuts off visitors above its limit at once, and takes others when there is room again", async () => {
    const { log, visit } = await place((socket) => socket.write("x"), { maxOpen: 1 });
    const first = visit();
    await once(first, "data");
    expect(await reset(visit())).toBe("ECONNRESET");
    expect(await log.until(1)).toMatchObject([{ end: "reset", code: "too-many-requests" }]);
    first.resetAndDestroy();
    await log.until(2);
    expect(String(await once(visit(), "data"))).toBe("x");
  });

  test("with 500 at once of every ending: each is told once, and nothing is left behind", async () => {
    const { forward, service, log, visit } = await place((socket) => {
      // The first byte says how it is to end.
      socket.once("data", (bytes: Buffer) => {
        const way = String(bytes)[0];
        if (way === "r") socket.resetAndDestroy();
        else if (way === "e") {
          socket.write(bytes);
          socket.pipe(socket);
        }
      });
    });
    const visits = Array.from({ length: 500 }, async (_, n) => {
      const visitor = visit();
      const way = "rvee"[n % 4] ?? "e";
      visitor.write(way);
      if (way === "r") return reset(visitor);
      if (way === "v") {
        await once(visitor, "connect");
        visitor.resetAndDestroy();
        return "";
      }
      visitor.end(`${n}`);
      return String(await readAll(visitor));
    });
    const got = await Promise.all(visits);
    const events = await log.until(500);
    expect(forward.openStreams).toBe(0);
    expect(events).toHaveLength(500);
    expect(events.filter(({ end }) => end === "closed")).toHaveLength(250);
    for (const [n, text] of got.entries()) {
      if (n % 4 === 0) expect(text).toBe("ECONNRESET");
      else if (n % 4 > 1) expect(text).toEndWith(`${n}`);
    }
    const open = service.sockets.filter((socket) => !socket.destroyed && socket.readyState !== "closed");
    await Promise.all(open.map((socket) => once(socket.resume(), "close")));
  });

  test("lets what is open finish when it closes, and breaks off the rest when the time is up", async () => {
    const clock = new VirtualClock();
    const { forward, log, visit } = await place((socket) => socket.pipe(socket), { clock });
    const quick = visit();
    const slow = visit();
    for (const socket of [quick, slow]) {
      socket.write("x");
      await once(socket, "data");
    }
    const closed = forward.close(5_000);
    quick.end();
    await readAll(quick);
    await log.until(1);
    const cut = reset(slow);
    clock.advance(5_000);
    await closed;
    expect(await cut).toBe("ECONNRESET");
    expect(log.events).toMatchObject([{ end: "closed" }, { end: "reset", code: "going-away" }]);
    expect([forward.openStreams, clock.timers]).toEqual([0, 0]);
    const late = net.connect({ host: "127.0.0.1", port: forward.port });
    const [error] = await once(late, "error");
    expect(error.code).toBe("ECONNREFUSED");
  });

  test("that has nothing open closes at once", async () => {
    const clock = new VirtualClock();
    const { forward } = await place(() => {}, { clock });
    await forward.close(5_000);
    expect(clock.timers).toBe(0);
  });
});
