import { describe, expect, test } from "bun:test";
import { once } from "node:events";
import net from "node:net";
import type { Clock } from "../../shared/clock.ts";
import { systemClock } from "../../shared/runtimes/system-clock.ts";
import { type FakeStream, get, visit } from "./fake-stream.ts";
import { answering, NodeService, placeFor, RawService } from "./places.ts";

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/** The system's clock, put forward at will; timers run when they are put past. */
class ShiftedClock implements Clock {
  shiftMs = 0;
  readonly #timers = new Set<{ atMs: number; run: () => void }>();
  now(): number {
    return systemClock.now() + this.shiftMs;
  }
  date(): number {
    return systemClock.date();
  }
  at(atMs: number, run: () => void): () => void {
    const timer = { atMs, run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }
  soon(run: () => void): void {
    systemClock.soon(run);
  }
  forward(ms: number): void {
    this.shiftMs += ms;
    for (const timer of [...this.#timers]) {
      if (timer.atMs > this.now() || !this.#timers.delete(timer)) continue;
      timer.run();
    }
  }
}

const closedEvent = (socket: net.Socket | undefined): Promise<void> =>
  new Promise((resolve) => {
    socket?.on("close", () => resolve());
  });

describe("an idle socket", () => {
  test("is not used again after 1.5 s", async () => {
    const clock = new ShiftedClock();
    await using service = await RawService.listen(answering(() => ok));
    using place = placeFor(service.target, { clock });
    await get(place.origin, "/").over;
    clock.forward(1_400);
    expect(place.origin.idleSockets).toBe(1);
    await get(place.origin, "/").over;
    clock.forward(1_400);
    expect(place.origin.idleSockets).toBe(1);
    const socket = service.sockets[0];
    const ended = new Promise<void>((resolve) => socket?.on("end", resolve));
    const closed = closedEvent(socket);
    clock.forward(200);
    expect(place.origin.idleSockets).toBe(0);
    await ended;
    // An origin that never closes its side holds the socket for a second more.
    clock.forward(1_100);
    await closed;
    await get(place.origin, "/").over;
    expect(service.sockets).toHaveLength(2);
  });

  for (const [name, act] of [
    ["half-closes", (socket: net.Socket | undefined) => socket?.end()],
    ["resets it", (socket: net.Socket | undefined) => socket?.resetAndDestroy()],
    ["sends what nobody asked for", (socket: net.Socket | undefined) => socket?.write(ok)],
  ] as const) {
    test(`is dropped when the origin ${name}`, async () => {
      await using service = await RawService.listen(answering(() => ok));
      using place = placeFor(service.target);
      await get(place.origin, "/").over;
      const closed = closedEvent(service.sockets[0]);
      act(service.sockets[0]);
      await closed;
      // The reset may still be on its way to us.
      while (place.origin.idleSockets > 0) await new Promise((resolve) => setImmediate(resolve));
      const stream = get(place.origin, "/");
      await stream.over;
      expect([stream.body, service.sockets.length]).toEqual(["ok", 2]);
    });
  }

  for (const [name, answer, kept] of [
    ["Connection: close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 0],
    ["HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", 0],
    ["HTTP/1.0 with keep-alive", "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n", 1],
    ["more bytes than it announces", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n", 0],
  ] as const) {
    test(`is${kept === 0 ? " not" : ""} kept after an answer with ${name}`, async () => {
      await using service = await RawService.listen(answering(() => answer));
      using place = placeFor(service.target);
      const stream = get(place.origin, "/");
      await stream.over;
      expect(stream.resetCode).toBeUndefined();
      expect(place.origin.idleSockets).toBe(kept);
    });
  }

  test("that breaks under a request loses it: the request is never sent again", async () => {
    const seen: string[] = [];
    await using service = await RawService.listen((socket) => {
      socket.on("data", (bytes) => {
        seen.push(bytes.toString().split("\r\n")[0] ?? "");
        if (seen.length === 1) socket.write(ok);
        else socket.resetAndDestroy();
      });
    });
    using place = placeFor(service.target);
    await get(place.origin, "/1").over;
    const stream = get(place.origin, "/2");
    await stream.over;
    expect(stream.resetCode).toBe("origin-closed");
    await get(place.origin, "/3").over;
    expect(seen).toEqual(["GET /1 HTTP/1.1", "GET /2 HTTP/1.1", "GET /3 HTTP/1.1"]);
  });
});

describe("a bare port", () => {
  for (const host of ["127.0.0.1", "::1"]) {
    test(`is found on ${host}, and the address remembered`, async () => {
      const service = await RawService.listen(
        answering(() => ok),
        host,
      ).catch(() => undefined);
      // A machine without IPv6 has nothing to find there.
      if (service === undefined) return;
      await using _service = service;
      using place = placeFor({ port: service.port }, { hostHeader: "origin" });
      for (let i = 0; i < 2; i++) {
        const stream = get(place.origin, "/");
        await stream.over;
        expect(stream.body).toBe("ok");
      }
    });
  }

  test("where nothing listens is refused", async () => {
    const service = await RawService.listen(() => {});
    const { port } = service;
    await service[Symbol.asyncDispose]();
    using place = placeFor({ port });
    const stream = get(place.origin, "/");
    await stream.over;
    expect(stream.resetCode).toBe("origin-refused");
  });
});

describe("many exchanges at once", () => {
  test("at an origin that serves one socket at a time: none waits for an idle socket", async () => {
    const service = Bun.spawn(["python3", `${import.meta.dir}/serial-service.py`], { stdout: "pipe" });
    try {
      const reader = service.stdout.getReader();
      const port = Number(new TextDecoder().decode((await reader.read()).value));
      // Without the 1.5 s after which idle sockets are closed anyway: whoever is starved waits for ever.
      const clock: Clock = {
        ...systemClock,
        at: (atMs, run) => (atMs - systemClock.now() > 1_000 ? () => {} : systemClock.at(atMs, run)),
      };
      using place = placeFor({ port }, { clock });
      for (let round = 0; round < 3; round++) {
        const streams = Array.from({ length: 20 }, (_, i) => get(place.origin, `/${round}-${i}`));
        await Promise.all(streams.map((stream) => stream.over));
        expect(streams.map(({ body }) => body)).toEqual(streams.map((_, i) => `/${round}-${i}`));
      }
      // One that arrives while another is being served, after sockets have become idle.
      const first = get(place.origin, "/slow");
      const second = get(place.origin, "/slow");
      await Promise.all([first.over, second.over]);
      const third = [get(place.origin, "/a"), get(place.origin, "/b")];
      await Promise.all(third.map((stream) => stream.over));
      expect(third.map(({ body }) => body)).toEqual(["/a", "/b"]);
    } finally {
      service.kill();
      await service.exited;
    }
  });

  test("at an origin that serves several: sockets are used again, not opened for each", async () => {
    await using service = await NodeService.listen((request, response) => response.end(request.url));
    using place = placeFor(service.target);
    const total = 2_000;
    let next = 0;
    const visitor = async (): Promise<void> => {
      while (next < total) {
        const path = `/${next++}`;
        const stream = get(place.origin, path);
        await stream.over;
        expect(stream.body).toBe(path);
      }
    };
    await Promise.all(Array.from({ length: 32 }, visitor));
    expect(place.log).toHaveLength(total);
    expect(service.sockets).toBeLessThan(200);
    expect(place.origin.idleSockets).toBeLessThanOrEqual(512);
  });

  test("keep at most 512 idle sockets", async () => {
    let waiting: (() => void)[] = [];
    await using service = await NodeService.listen((_request, response) =>
      waiting.push(() => response.end("x")),
    );
    using place = placeFor(service.target);
    const streams: FakeStream[] = Array.from({ length: 600 }, () => get(place.origin, "/"));
    while (streams.some((stream) => !stream.ended)) {
      await Promise.race(
        streams.filter((stream) => !stream.ended).map((stream) => stream.until(() => stream.heldBytes === 0)),
      );
      const answers = waiting;
      waiting = [];
      for (const answer of answers) answer();
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(place.origin.idleSockets).toBeLessThanOrEqual(512);
  });

  test("mixed with posts, aborts and breaks: every exchange ends once, and each answer is its own", async () => {
    await using service = await RawService.listen((socket) => {
      let text = "";
      socket.on("data", (bytes) => {
        text += bytes.toString("latin1");
        for (let end = text.indexOf("\r\n\r\n"); end >= 0; end = text.indexOf("\r\n\r\n")) {
          const path = text.split(" ")[1] ?? "";
          text = text.slice(end + 4 + (text.startsWith("POST") ? 3 : 0));
          if (path.endsWith("7")) socket.resetAndDestroy();
          else socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${path.length}\r\n\r\n${path}`);
        }
      });
    });
    using place = placeFor(service.target);
    let next = 0;
    const visitor = async (): Promise<void> => {
      while (next < 600) {
        const i = next++;
        const stream =
          i % 3 === 0
            ? visit(place.origin, [`POST /${i} HTTP/1.1`, "Host: a", "Content-Length: 3"], { body: "abc" })
            : get(place.origin, `/${i}`);
        if (i % 11 === 0) stream.handler.reset("cancelled");
        else {
          await stream.over;
          if (i % 10 === 7) expect(stream.resetCode).toBe("origin-closed");
          else expect(stream.body).toBe(`/${i}`);
        }
      }
    };
    await Promise.all(Array.from({ length: 16 }, visitor));
    expect(place.log).toHaveLength(600);
    expect(new Set(place.log.map(({ path }) => path)).size).toBe(600);
  });
});

test("a unix socket is an origin like any other", async () => {
  const path = `${process.env["TMPDIR"] ?? "/tmp"}/underpass-${process.pid}-${Date.now()}.sock`;
  const server = net.createServer(answering(() => ok));
  server.listen(path);
  await once(server, "listening");
  using place = placeFor({ unix: path });
  const stream = get(place.origin, "/");
  await stream.over;
  expect(stream.body).toBe("ok");
  server.close();
});
