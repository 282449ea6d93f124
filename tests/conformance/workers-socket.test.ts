import { afterEach, describe, expect, test } from "bun:test";
import { WorkersSockets } from "../../relay/runtimes/workers-dial.ts";
import { listen } from "../../shared/runtimes/bun-sockets.ts";
import type { Socket } from "../../shared/socket.ts";
import { platformConnect } from "./platform-connect.ts";
import { bytesOf, failure, open, pair, type SocketCaseContext } from "./socket-case.ts";
import { socketCases } from "./socket-cases.ts";
import { SocketEar } from "./socket-ear.ts";

const testLimitMs = 10_000;

/** Workers dial alone: the far end is Bun's. */
function contextOf(sockets: WorkersSockets): SocketCaseContext {
  return { dial: sockets.dial, listen, cert: "", key: "", unixEcho: "" };
}

/** All that is ready to happen has happened. */
const turns = async (): Promise<void> => {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
};

/** The platform's side of one socket, as a test wants it. */
class FakePlatform {
  readonly heard: string[] = [];
  fails = false;
  #controller: ReadableByteStreamController | undefined;
  readonly sockets = new WorkersSockets(() => ({
    readable: new ReadableStream({
      type: "bytes",
      start: (controller) => {
        this.#controller = controller;
      },
    }),
    writable: new WritableStream<Uint8Array>({
      write: (bytes) => {
        if (this.fails) throw new Error("Network connection lost.");
        this.heard.push(new TextDecoder().decode(bytes));
      },
    }),
    opened: Promise.resolve(),
    closed: new Promise(() => {}),
    close: () => Promise.resolve(),
  }));

  says(text: string): void {
    this.#controller?.enqueue(new TextEncoder().encode(text));
  }
}

const exceptions: readonly (readonly [RegExp, string])[] = [
  [/TLS|certificate|unix socket/, "plain TCP only"],
  [/as a reset|a break is told|before the reset/, "the platform has no RST"],
  [/addresses of both ends|given up leaves no socket/, "the platform does not tell its own address"],
  [/^localhost/, "what is dialled here is an address"],
  [/failed dials say why|takes too long|leaves open sockets alone/, "the platform does not tell why"],
];

describe("sockets of Workers", () => {
  for (const { name, run } of socketCases) {
    const reason = exceptions.find(([pattern]) => pattern.test(name))?.[1];
    test.skipIf(reason !== undefined)(
      reason === undefined ? name : `${name} (${reason})`,
      () => run(contextOf(new WorkersSockets(platformConnect))),
      testLimitMs,
    );
  }

  const cleanup: (() => void)[] = [];
  afterEach(() => {
    for (const run of cleanup.splice(0)) run();
  });

  /** Somewhere to dial; what arrives there is heard. */
  async function place(): Promise<{ port: number; accepted: Promise<SocketEar> }> {
    const { promise, resolve } = Promise.withResolvers<SocketEar>();
    const listener = await listen({ host: "127.0.0.1", port: 0 }, (socket: Socket) => {
      cleanup.push(() => socket.destroy());
      resolve(new SocketEar(socket));
    });
    cleanup.push(() => listener.close());
    return { port: listener.port, accepted: promise };
  }

  test("an end of the far end, and bytes that it breaks off after, are told apart", () =>
    pair(contextOf(new WorkersSockets(platformConnect)), {}, async (near, far) => {
      const left = new SocketEar(near);
      const right = new SocketEar(far);
      right.call((socket) => socket.write(bytesOf("x")));
      await left.until(() => left.bytes === 1);
      right.call((socket) => socket.destroy());
      await left.until(() => left.closes.length === 1);
      expect([left.closes, left.ends]).toEqual([[true], 0]);
    }));

  test("a break reaches the far end as an end, in both directions", () =>
    pair(contextOf(new WorkersSockets(platformConnect)), {}, async (near, far) => {
      const left = new SocketEar(near);
      const right = new SocketEar(far);
      left.call((socket) => {
        socket.write(bytesOf("x"));
        socket.destroy();
      });
      await left.until(() => left.closes.length === 1);
      await right.until(() => right.ends === 1);
      expect([left.closes, left.ends]).toEqual([[false], 0]);
    }));

  test("what is read while the socket is paused comes when it goes on", async () => {
    const platform = new FakePlatform();
    const ear = new SocketEar(await open(contextOf(platform.sockets), { host: "192.0.2.1", port: 1 }));
    for (const word of ["one", "two"]) {
      ear.call((socket) => socket.pause());
      const before = ear.bytes;
      platform.says(word);
      await turns();
      expect(ear.bytes).toBe(before);
      ear.call((socket) => {
        socket.resume();
        socket.pause();
        socket.resume();
      });
      await ear.until(() => ear.text().endsWith(word));
    }
    expect(ear.text()).toBe("onetwo");
  });

  test("one write follows the other, and one that fails is told as a reset", async () => {
    const platform = new FakePlatform();
    const ear = new SocketEar(await open(contextOf(platform.sockets), { host: "192.0.2.1", port: 1 }));
    for (const word of ["one", "two"]) {
      ear.call((socket) => socket.write(bytesOf(word)));
      await ear.until(() => ear.socket.queued === 0);
      expect(platform.heard.at(-1)).toBe(word);
    }
    platform.fails = true;
    ear.call((socket) => socket.write(bytesOf("three")));
    await ear.until(() => ear.closes.length === 1);
    expect([ear.closes, ear.ends, ear.socket.queued]).toEqual([[true], 0, 0]);
  });

  test("there are so many as may be, and the next is told so at once", async () => {
    const sockets = new WorkersSockets(platformConnect, { maxSockets: 2, lingerMs: 10_000 });
    const context = contextOf(sockets);
    const { port } = await place();
    const target = { host: "127.0.0.1", port };
    const first = new SocketEar(await open(context, target));
    expect(sockets.isFull).toBe(false);
    const second = new SocketEar(await open(context, target));
    expect(sockets.isFull).toBe(true);
    expect(await failure(context, target)).toBe("no-socket");
    expect([first.closes, second.closes]).toEqual([[], []]);
    for (const { socket } of [first, second]) socket.destroy();
  });

  test("a dial that fails, in whatever way, leaves its place to others", async () => {
    const { port } = await place();
    const refusing = new WorkersSockets(
      (address, options) => {
        if (address.port === 1) throw new TypeError("not an address");
        return platformConnect(address, options);
      },
      { maxSockets: 1, lingerMs: 10_000 },
    );
    const context = contextOf(refusing);
    const closed = await listen({ host: "127.0.0.1", port: 0 }, () => {});
    closed.close();
    for (const to of [1, closed.port]) {
      expect(await failure(context, { host: "127.0.0.1", port: to })).toBe("failed");
      expect(refusing.isFull).toBe(false);
    }
    expect(await failure(context, { unix: "/x" })).toBe("failed");
    const tls = { serverName: "x.test", insecure: true };
    expect(await failure(context, { host: "127.0.0.1", port, tls })).toBe("failed");
    const ear = new SocketEar(await open(context, { host: "127.0.0.1", port }));
    expect(ear.socket.remote).toBe(`127.0.0.1:${port}`);
    ear.call((socket) => socket.destroy());
  });

  test("a dial that takes too long is told as that, and closes what opens later", async () => {
    const { port, accepted } = await place();
    const opening = Promise.withResolvers<void>();
    const sockets = new WorkersSockets(
      (address, options) => {
        const raw = platformConnect(address, options);
        return { ...raw, opened: Promise.all([raw.opened, opening.promise]) };
      },
      { maxSockets: 1, lingerMs: 10_000 },
    );
    const context = contextOf(sockets);
    expect(await failure(context, { host: "127.0.0.1", port }, 20)).toBe("timeout");
    expect(await failure(context, { host: "127.0.0.1", port })).toBe("no-socket");
    opening.resolve();
    const far = await accepted;
    await far.until(() => far.ends === 1);
    expect(await open(context, { host: "127.0.0.1", port })).toBeDefined();
  });

  test("one that is broken off while the far end does not read is let go after a time", async () => {
    const { port, accepted } = await place();
    const aborted = Promise.withResolvers<void>();
    const sockets = new WorkersSockets(
      (address, options) => {
        const raw = platformConnect(address, options);
        const writable = new WritableStream({
          start: ({ signal }) => signal.addEventListener("abort", () => aborted.resolve()),
          write: () => new Promise(() => {}),
        });
        return { ...raw, writable, close: () => aborted.promise.then(() => raw.close()) };
      },
      { maxSockets: 1, lingerMs: 20 },
    );
    const context = contextOf(sockets);
    const ear = new SocketEar(await open(context, { host: "127.0.0.1", port }));
    ear.call((socket) => {
      socket.write(bytesOf("never taken"));
      socket.destroy();
    });
    await ear.until(() => ear.closes.length === 1);
    expect(sockets.isFull).toBe(true);
    await aborted.promise;
    const far = await accepted;
    await far.until(() => far.ends === 1);
    expect(sockets.isFull).toBe(false);
  });

  test("a small read does not keep the room of a large one", () =>
    pair(contextOf(new WorkersSockets(platformConnect)), {}, async (near, far) => {
      const left = new SocketEar(near);
      far.write(bytesOf("small"));
      await left.until(() => left.bytes === 5);
      expect(left.chunks[0]?.buffer.byteLength).toBeLessThan(100);
    }));
});
