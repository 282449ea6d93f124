import assert from "node:assert/strict";
import { UnderpassError } from "../../shared/errors.ts";
import type { Dial, DialFailure, DialTarget, Listen, Listener, Socket } from "../../shared/socket.ts";
import { SocketEar as Ear } from "./socket-ear.ts";

/** What an adapter of shared/socket.ts is tested with, on whatever runtime. */
export interface SocketCaseContext {
  readonly dial: Dial;
  readonly listen: Listen;
  /** PEM texts for `tunnel.test`, signed by itself. */
  readonly cert: string;
  readonly key: string;
  /** Path of a unix socket that echoes. */
  readonly unixEcho: string;
}

type Run = (context: SocketCaseContext) => Promise<void>;

const mebibyte = 1_048_576;

function open(context: SocketCaseContext, target: DialTarget, timeoutMs = 5_000): Promise<Socket> {
  return new Promise((resolve, reject) => {
    context.dial(target, timeoutMs, {
      opened: resolve,
      failed: (reason, detail) => reject(new Error(`${reason}: ${detail}`)),
    });
  });
}

function failure(context: SocketCaseContext, target: DialTarget, timeoutMs = 5_000): Promise<DialFailure> {
  return new Promise((resolve, reject) => {
    let inside = true;
    context.dial(target, timeoutMs, {
      opened: () => reject(new Error("it opened")),
      failed: (reason) => {
        assert.equal(inside, false, "failed was called from inside dial");
        resolve(reason);
      },
    });
    inside = false;
  });
}

/** A listener on loopback, and a pair of sockets through it. */
async function pair(
  context: SocketCaseContext,
  how: { tls?: boolean; host?: string } = {},
  run: (near: Socket, far: Socket, listener: Listener) => Promise<void>,
): Promise<void> {
  const host = how.host ?? "127.0.0.1";
  const { promise, resolve } = Promise.withResolvers<Socket>();
  const { cert, key } = context;
  const listener = await context.listen({ host, port: 0, ...(how.tls && { tls: { cert, key } }) }, resolve);
  const tls = how.tls && { serverName: "tunnel.test", insecure: true };
  const near = await open(context, { host, port: listener.port, ...(tls && { tls }) });
  const far = await promise;
  try {
    await run(near, far, listener);
  } finally {
    near.destroy();
    far.destroy();
    listener.close();
  }
}

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Each byte is told by its place, so that a lost or doubled piece shows. */
function pattern(length: number): Uint8Array {
  const words = new Uint32Array(length / 4);
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i, 2_654_435_761);
  return new Uint8Array(words.buffer);
}

function backpressure(tls: boolean): Run {
  return (context) =>
    pair(context, { tls }, async (near, far) => {
      const source = pattern(64 * mebibyte);
      const sink = new Uint8Array(source.length);
      let got = 0;
      let at = 0;
      const step = 65_536;
      const pump = (): void => {
        while (at < source.length && sender.socket.queued < mebibyte) {
          const piece = source.subarray(at, at + step);
          at += step;
          sender.call((socket) => socket.write(piece));
        }
        if (at === source.length && sender.socket.queued === 0) sender.call((socket) => socket.end());
      };
      const sender = new Ear(near, { drained: pump });
      const receiver = new Ear(
        far,
        {
          data: (bytes) => {
            sink.set(bytes, got);
            got += bytes.length;
          },
        },
        { chunks: false },
      );
      receiver.call((socket) => socket.pause());
      pump();
      // The receiver is paused: the system's buffers fill, and the rest stays with the sender. Of what is
      // written now more than 1 MiB at last stays queued, which shows that nobody reads.
      while (sender.socket.queued < mebibyte) {
        const drains = sender.drains;
        await sender.until(() => sender.drains > drains || sender.socket.queued >= mebibyte);
      }
      const early = got;
      assert.ok(early <= mebibyte, `${early} bytes were delivered while paused`);
      assert.ok(at < source.length, "the sender was never slowed");
      receiver.call((socket) => socket.resume());
      await receiver.until(() => receiver.ends === 1);
      assert.equal(got, source.length);
      assert.ok(Buffer.from(sink.buffer).equals(Buffer.from(source.buffer)));
      assert.ok(sender.drains > 0);
      assert.equal(sender.socket.queued, 0);
    });
}

function halfClose(tls: boolean): Run {
  return (context) =>
    pair(context, { tls }, async (near, far) => {
      const left = new Ear(near);
      const right = new Ear(far);
      left.call((socket) => {
        socket.write(bytesOf("question"));
        socket.end();
        socket.end();
        socket.write(bytesOf("ignored"));
      });
      await right.until(() => right.ends === 1);
      assert.equal(right.text(), "question");
      assert.deepEqual(right.closes, []);
      right.call((socket) => socket.write(bytesOf("answer")));
      await left.until(() => left.bytes === 6);
      assert.deepEqual(left.closes, []);
      right.call((socket) => socket.end());
      await left.until(() => left.closes.length === 1);
      await right.until(() => right.closes.length === 1);
      assert.equal(left.text(), "answer");
      assert.equal(left.ends, 1);
      assert.deepEqual([left.closes, right.closes], [[false], [false]]);
    });
}

function endAfterQueue(tls: boolean): Run {
  return (context) =>
    pair(context, { tls }, async (near, far) => {
      const source = pattern(16 * mebibyte);
      const left = new Ear(near);
      const right = new Ear(far);
      left.call((socket) => {
        socket.write(source);
        socket.write(bytesOf("tail"));
        assert.ok(socket.queued > 0);
        socket.end();
      });
      right.call((socket) => socket.end());
      await right.until(() => right.closes.length === 1);
      await left.until(() => left.closes.length === 1);
      assert.equal(right.bytes, source.length + 4);
      assert.ok(Buffer.concat(right.chunks).subarray(0, source.length).equals(Buffer.from(source.buffer)));
      assert.ok(right.text().endsWith("tail"));
      assert.deepEqual([left.closes, right.closes], [[false], [false]]);
    });
}

/** The cases; each name is a sentence that holds for an adapter. */
export const socketCases: readonly {
  readonly name: string;
  readonly run: Run;
  /** Why the case can't hold there. */
  readonly skipOnDeno?: string;
}[] = [
  { name: "a paused receiver slows the sender, and 64 MiB arrive whole", run: backpressure(false) },
  { name: "over TLS a paused receiver slows the sender, and 64 MiB arrive whole", run: backpressure(true) },
  { name: "each direction ends on its own", run: halfClose(false) },
  { name: "over TLS each direction ends on its own", run: halfClose(true) },
  {
    name: "end comes after all that is queued",
    run: endAfterQueue(false),
    skipOnDeno: "node:net of Deno 2.9.6 fails a pending write with EPIPE when the far end half-closes",
  },
  { name: "over TLS end comes after all that is queued", run: endAfterQueue(true) },
  {
    name: "many small writes behind a full socket arrive in order and unchanged",
    run: (context) =>
      pair(context, {}, async (near, far) => {
        const left = new Ear(near);
        const right = new Ear(far);
        right.call((socket) => socket.pause());
        left.call((socket) => {
          while (socket.queued < mebibyte) socket.write(new Uint8Array(mebibyte));
          let expected = "";
          for (let i = 0; i < 20_000; i++) {
            const text = `${i},`;
            expected += text;
            const bytes = bytesOf(text);
            socket.write(i % 1_000 === 0 ? Buffer.concat([bytes, Buffer.alloc(0)]) : bytes);
          }
          socket.write(bytesOf("!"));
          socket.end();
          left.react.closed = () => {};
          right.react.ended = () => assert.ok(right.text().endsWith(`${expected}!`));
        });
        right.call((socket) => socket.resume());
        await right.until(() => right.ends === 1);
      }),
  },
  {
    name: "writes of all sizes within one turn stay in order when the socket fills up among them",
    run: (context) =>
      pair(context, {}, async (near, far) => {
        // Guards the gathering of small writes: what was gathered must not be overtaken by what is queued.
        const source = pattern(16 * mebibyte);
        // All below what is gathered: the piece that fills the socket is followed by one that is gathered again.
        const sizes = [15_000, 14_000, 40, 13_000, 16_000];
        const left = new Ear(near);
        const right = new Ear(far);
        right.call((socket) => socket.pause());
        left.call((socket) => {
          for (let at = 0, i = 0; at < source.length; i++) {
            const size = sizes[i % sizes.length] ?? 1;
            socket.write(source.slice(at, at + size));
            at += size;
          }
          socket.end();
        });
        right.call((socket) => socket.resume());
        await right.until(() => right.ends === 1);
        assert.ok(Buffer.concat(right.chunks).equals(Buffer.from(source.buffer)));
      }),
  },
  {
    name: "destroy reaches the far end as a reset, and closed comes once on both",
    run: (context) =>
      pair(context, {}, async (near, far) => {
        const left = new Ear(near);
        const right = new Ear(far);
        left.call((socket) => socket.write(bytesOf("x")));
        await right.until(() => right.bytes === 1);
        left.call((socket) => {
          socket.destroy();
          socket.destroy();
          socket.write(bytesOf("ignored"));
          socket.end();
          socket.pause();
          socket.resume();
        });
        await left.until(() => left.closes.length === 1);
        await right.until(() => right.closes.length === 1);
        assert.deepEqual(left.closes, [false]);
        assert.deepEqual(right.closes, [true]);
        assert.equal(right.ends, 0);
      }),
  },
  {
    name: "destroy from inside an event is fine, and no data comes after",
    run: (context) =>
      pair(context, {}, async (near, far) => {
        const left = new Ear(near);
        const right: Ear = new Ear(far, { data: () => right.call((socket) => socket.destroy()) });
        left.call((socket) => socket.write(new Uint8Array(8 * mebibyte)));
        await right.until(() => right.closes.length === 1);
        await left.until(() => left.closes.length === 1);
        assert.deepEqual(left.closes, [true]);
        assert.equal(left.socket.queued, 0);
      }),
  },
  {
    name: "drained comes after queued rose, and not for writes that left at once",
    run: (context) =>
      pair(context, {}, async (near, far) => {
        const left = new Ear(near);
        const right = new Ear(far);
        left.call((socket) => assert.equal(socket.write(new Uint8Array(0)), 0));
        left.call((socket) => {
          const queued = socket.write(new Uint8Array(16 * mebibyte));
          assert.equal(queued, socket.queued);
          assert.ok(queued > 0 && queued < 16 * mebibyte + 1);
        });
        await left.until(() => left.drains > 0 && left.socket.queued === 0);
        await right.until(() => right.bytes === 16 * mebibyte);
      }),
  },
  {
    name: "the far end's address is told, IPv6 in brackets",
    run: async (context) => {
      await pair(context, {}, async (near, far, listener) => {
        assert.equal(near.remote, `127.0.0.1:${listener.port}`);
        assert.match(far.remote, /^127\.0\.0\.1:\d+$/);
      });
      await pair(context, { host: "::1" }, async (near, far, listener) => {
        assert.equal(near.remote, `[::1]:${listener.port}`);
        assert.match(far.remote, /^\[::1\]:\d+$/);
      });
    },
  },
  {
    name: "localhost finds a listener on 127.0.0.1 and one on ::1",
    run: async (context) => {
      for (const host of ["127.0.0.1", "::1"]) {
        const listener = await context.listen({ host, port: 0 }, (socket) => new Ear(socket));
        const socket = await open(context, { host: "localhost", port: listener.port });
        socket.destroy();
        listener.close();
      }
    },
  },
  {
    name: "a unix socket echoes, and has no address",
    run: async (context) => {
      const ear = new Ear(await open(context, { unix: context.unixEcho }));
      assert.equal(ear.socket.remote, "");
      ear.call((socket) => socket.write(bytesOf("hello")));
      await ear.until(() => ear.bytes === 5);
      assert.equal(ear.text(), "hello");
      ear.call((socket) => socket.destroy());
      await ear.until(() => ear.closes.length === 1);
    },
  },
  {
    name: "failed dials say why",
    run: async (context) => {
      const listener = await context.listen({ host: "127.0.0.1", port: 0 }, () => {});
      listener.close();
      assert.equal(await failure(context, { host: "127.0.0.1", port: listener.port }), "refused");
      assert.equal(await failure(context, { host: "nothing-here.invalid", port: 80 }), "not-found");
      assert.equal(await failure(context, { unix: "/nonexistent/underpass.sock" }), "refused");
    },
  },
  {
    name: "a dial that takes too long is told as a timeout, and one given up is told nothing",
    run: async (context) => {
      // Accepts TCP and never answers the TLS handshake.
      const ears: Ear[] = [];
      const listener = await context.listen({ host: "127.0.0.1", port: 0 }, (socket) => {
        ears.push(new Ear(socket));
      });
      const target = {
        host: "127.0.0.1",
        port: listener.port,
        tls: { serverName: "tunnel.test", insecure: true },
      };
      let told = 0;
      const note = (): void => void told++;
      context.dial(target, 5_000, { opened: note, failed: note })();
      assert.equal(await failure(context, target, 50), "timeout");
      assert.equal(told, 0);
      listener.close();
      for (const ear of ears) ear.socket.destroy();
    },
  },
  {
    name: "TLS without insecure refuses a certificate that nobody vouches for",
    run: async (context) => {
      const { cert, key } = context;
      const listener = await context.listen({ host: "127.0.0.1", port: 0, tls: { cert, key } }, (socket) => {
        new Ear(socket);
      });
      const target = { host: "127.0.0.1", port: listener.port };
      const tls = { serverName: "tunnel.test", insecure: false };
      assert.equal(await failure(context, { ...target, tls }), "tls");
      listener.close();
    },
  },
  {
    name: "TLS to something that does not speak it fails as such, and the listener survives plain bytes",
    run: async (context) => {
      const { cert, key } = context;
      const plain = await context.listen({ host: "127.0.0.1", port: 0 }, (socket) => {
        const ear: Ear = new Ear(socket, {
          data: () => ear.call(() => socket.write(bytesOf("HTTP/1.1 400 Bad Request\r\n\r\n"))),
        });
      });
      const tls = { serverName: "tunnel.test", insecure: true };
      assert.equal(await failure(context, { host: "127.0.0.1", port: plain.port, tls }), "tls");
      plain.close();
      const secret = await context.listen({ host: "127.0.0.1", port: 0, tls: { cert, key } }, (socket) => {
        const ear: Ear = new Ear(socket, { data: (bytes) => ear.call(() => socket.write(bytes)) });
      });
      const stranger = new Ear(await open(context, { host: "127.0.0.1", port: secret.port }));
      stranger.call((socket) => socket.write(bytesOf("GET / HTTP/1.1\r\n\r\n")));
      await stranger.until(() => stranger.closes.length === 1 || stranger.ends === 1);
      stranger.socket.destroy();
      const friend = new Ear(await open(context, { host: "127.0.0.1", port: secret.port, tls }));
      friend.call((socket) => socket.write(bytesOf("still here")));
      await friend.until(() => friend.bytes === 10);
      friend.socket.destroy();
      secret.close();
    },
  },
  {
    name: "a port that is taken is an UnderpassError port-in-use, unless both share it",
    run: async (context) => {
      const first = await context.listen({ host: "127.0.0.1", port: 0 }, () => {});
      await assert.rejects(
        context.listen({ host: "127.0.0.1", port: first.port }, () => {}),
        (error) => error instanceof UnderpassError && error.code === "port-in-use",
      );
      first.close();
      const shared = { host: "127.0.0.1", reusePort: true };
      const one = await context.listen({ ...shared, port: 0 }, () => {});
      const two = await context.listen({ ...shared, port: one.port }, () => {});
      assert.equal(two.port, one.port);
      one.close();
      two.close();
    },
  },
  {
    name: "closing a listener leaves open sockets alone",
    run: (context) =>
      pair(context, {}, async (near, far, listener) => {
        const left = new Ear(near);
        const right = new Ear(far);
        listener.close();
        assert.equal(await failure(context, { host: "127.0.0.1", port: listener.port }), "refused");
        left.call((socket) => socket.write(bytesOf("still")));
        await right.until(() => right.bytes === 5);
      }),
  },
];
