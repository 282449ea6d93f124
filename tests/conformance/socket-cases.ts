import assert from "node:assert/strict";
import { breakCases } from "./break-cases.ts";
import { dialCases } from "./dial-cases.ts";
import { bytesOf, mebibyte, open, pair, pattern, type Run, type SocketCase } from "./socket-case.ts";
import { SocketEar as Ear } from "./socket-ear.ts";

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

/** `orReset`: a system that can't do it has to say so, as what came could pass for all of it. */
function endAfterQueue(how: { tls?: true; orReset?: true }): Run {
  return (context) =>
    pair(context, { ...(how.tls && { tls: true }) }, async (near, far) => {
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
      if (how.orReset && left.closes[0] === true) {
        assert.deepEqual([right.closes, right.ends], [[true], 0]);
        return;
      }
      assert.equal(right.bytes, source.length + 4);
      assert.ok(Buffer.concat(right.chunks).subarray(0, source.length).equals(Buffer.from(source.buffer)));
      assert.ok(right.text().endsWith("tail"));
      assert.deepEqual([left.closes, right.closes], [[false], [false]]);
    });
}

/** Whoever half-closes gets the whole answer, though it is larger than what the system's buffers take. */
function answerAfterEnd(dialled: boolean): Run {
  return (context) =>
    pair(context, {}, async (near, far) => {
      const answer = pattern(16 * mebibyte);
      const asks = new Ear(dialled ? near : far);
      const answers: Ear = new Ear(dialled ? far : near, {
        ended: () => {
          answers.call((socket) => {
            socket.write(answer);
            socket.end();
          });
        },
      });
      asks.call((socket) => {
        socket.write(bytesOf("question"));
        socket.end();
      });
      await asks.until(() => asks.closes.length === 1);
      await answers.until(() => answers.closes.length === 1);
      assert.equal(answers.text(), "question");
      assert.ok(Buffer.concat(asks.chunks).equals(Buffer.from(answer.buffer)));
      assert.deepEqual([asks.closes, answers.closes], [[false], [false]]);
    });
}

/** The cases; each name is a sentence that holds for an adapter. */
export const socketCases: readonly SocketCase[] = [
  { name: "a paused receiver slows the sender, and 64 MiB arrive whole", run: backpressure(false) },
  { name: "over TLS a paused receiver slows the sender, and 64 MiB arrive whole", run: backpressure(true) },
  { name: "each direction ends on its own", run: halfClose(false) },
  { name: "over TLS each direction ends on its own", run: halfClose(true) },
  {
    name: "end comes after all that is queued",
    run: endAfterQueue({}),
    skipOnDeno: "node:net of Deno 2.9.6 fails a pending write with EPIPE when the far end half-closes",
  },
  {
    name: "who dialled and half-closes gets the whole answer",
    run: answerAfterEnd(true),
  },
  {
    name: "who was dialled and half-closes gets the whole answer",
    run: answerAfterEnd(false),
  },
  {
    name: "end comes after all that is queued, and where that fails the far end can tell",
    run: endAfterQueue({ orReset: true }),
  },
  { name: "over TLS end comes after all that is queued", run: endAfterQueue({ tls: true }) },
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
    name: "a write of 16 KiB or more that leaves nothing queued is done with its buffer",
    run: (context) =>
      pair(context, {}, async (near, far) => {
        // Guards links that write each large message from the same buffer, right behind a small one.
        const left = new Ear(near);
        const right = new Ear(far);
        let expected = "";
        left.call((socket) => {
          const room = new Uint8Array(20_000);
          for (let i = 0; i < 8; i++) {
            const letter = String.fromCharCode(97 + i);
            socket.write(bytesOf("0123456789"));
            room.fill(letter.charCodeAt(0));
            expected += `0123456789${letter.repeat(room.length)}`;
            if (socket.write(room) > 0) break;
            room.fill(0);
          }
          socket.end();
        });
        await right.until(() => right.ends === 1);
        assert.ok(right.text() === expected, "bytes were changed after they were written");
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
    name: "the addresses of both ends are told, IPv6 in brackets",
    run: async (context) => {
      await pair(context, {}, async (near, far, listener) => {
        assert.equal(near.remote, `127.0.0.1:${listener.port}`);
        assert.match(far.remote, /^127\.0\.0\.1:\d+$/);
        assert.deepEqual([near.local, far.local], [far.remote, near.remote]);
      });
      await pair(context, { host: "::1" }, async (near, far, listener) => {
        assert.equal(near.remote, `[::1]:${listener.port}`);
        assert.match(far.remote, /^\[::1\]:\d+$/);
        assert.deepEqual([near.local, far.local], [far.remote, near.remote]);
      });
      await pair(context, { tls: true }, async (near, far) => {
        assert.deepEqual([near.local, far.local], [far.remote, near.remote]);
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
      assert.deepEqual([ear.socket.remote, ear.socket.local], ["", ""]);
      ear.call((socket) => socket.write(bytesOf("hello")));
      await ear.until(() => ear.bytes === 5);
      assert.equal(ear.text(), "hello");
      ear.call((socket) => socket.destroy());
      await ear.until(() => ear.closes.length === 1);
    },
  },
  ...breakCases,
  ...dialCases,
];
