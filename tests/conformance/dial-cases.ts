import assert from "node:assert/strict";
import { UnderpassError } from "../../shared/errors.ts";
import { bytesOf, failure, open, pair, type SocketCase } from "./socket-case.ts";
import { SocketEar as Ear } from "./socket-ear.ts";

/** What fails, and what listening and TLS are held to. */
export const dialCases: readonly SocketCase[] = [
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
    name: "a dial that is given up leaves no socket at the far end",
    run: async (context) => {
      for (const tls of [undefined, { serverName: "tunnel.test", insecure: true }]) {
        // Plain bytes for both: TLS never gets its answer here.
        const accepted = Promise.withResolvers<Ear>();
        const listener = await context.listen({ host: "127.0.0.1", port: 0 }, (socket) => {
          accepted.resolve(new Ear(socket));
        });
        const target = { host: "127.0.0.1", port: listener.port, ...(tls && { tls }) };
        const told = (): void => assert.fail("it was told");
        const giveUp = context.dial(target, 5_000, { opened: told, failed: told });
        // Some systems drop what was never used before it is accepted: then another dial shows the order.
        giveUp();
        const other = await open(context, { host: "127.0.0.1", port: listener.port });
        const ear = await accepted.promise;
        if (ear.socket.remote !== other.local) await ear.until(() => ear.closes.length + ear.ends > 0);
        ear.socket.destroy();
        other.destroy();
        listener.close();
      }
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
    name: "TLS with insecure takes any certificate, be it for another name",
    run: async (context) => {
      const { cert, key } = context;
      const listener = await context.listen({ host: "127.0.0.1", port: 0, tls: { cert, key } }, (socket) => {
        const ear: Ear = new Ear(socket, { data: (bytes) => ear.call(() => socket.write(bytes)) });
      });
      for (const serverName of ["other.test", "127.0.0.1"]) {
        const tls = { serverName, insecure: true };
        const ear = new Ear(await open(context, { host: "127.0.0.1", port: listener.port, tls }));
        ear.call((socket) => socket.write(bytesOf("hello")));
        await ear.until(() => ear.bytes === 5);
        ear.socket.destroy();
      }
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
