import assert from "node:assert/strict";
import type {
  DatagramFailure,
  DatagramHandler,
  DatagramSocket,
  OpenDatagrams,
} from "../../shared/datagrams.ts";
import { UnderpassError } from "../../shared/errors.ts";

export interface DatagramCase {
  readonly name: string;
  readonly skipOnDeno?: string;
  run(open: OpenDatagrams): Promise<void>;
}

/** Records a socket's events and lets a case wait for them. */
class Ear implements DatagramHandler {
  readonly got: { readonly bytes: Uint8Array; readonly remote: string }[] = [];
  readonly failures: DatagramFailure[] = [];
  /** Answers what came. */
  echo: DatagramSocket | undefined;
  calling = false;
  #waiting: { met: () => boolean; resolve: () => void }[] = [];

  message(bytes: Uint8Array, remote: string): void {
    assert.equal(this.calling, false, "an event came from inside a call");
    this.got.push({ bytes, remote });
    this.echo?.send(bytes, remote);
    this.#check();
  }
  failed(reason: DatagramFailure): void {
    assert.equal(this.calling, false, "an event came from inside a call");
    this.failures.push(reason);
    this.#check();
  }
  until(met: () => boolean): Promise<void> {
    if (met()) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ met, resolve }));
  }
  #check(): void {
    const met = this.#waiting.filter((waiting) => waiting.met());
    this.#waiting = this.#waiting.filter((waiting) => !met.includes(waiting));
    for (const waiting of met) waiting.resolve();
  }
}

function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, at) => (at * 7 + (at >>> 8)) & 0xff);
}

/** A far socket that answers, and a near one that is connected to it. */
async function pair(
  open: OpenDatagrams,
  use: (near: DatagramSocket, left: Ear, far: DatagramSocket, right: Ear) => Promise<void>,
  host = "127.0.0.1",
): Promise<void> {
  const right = new Ear();
  const far = await open({ host }, right);
  right.echo = far;
  const left = new Ear();
  const near = await open({ remote: { host, port: far.port } }, left);
  try {
    await use(near, left, far, right);
  } finally {
    near.close();
    far.close();
  }
}

async function refusal(opening: Promise<unknown>): Promise<string> {
  return opening.then(
    () => "opened",
    (error) => (error instanceof UnderpassError ? error.code : String(error)),
  );
}

const nobody: DatagramHandler = { message() {} };

/** The cases; each name is a sentence that holds for an adapter. */
export const datagramCases: readonly DatagramCase[] = [
  {
    name: "datagrams of all sizes up to 65,507 bytes arrive whole, empty ones too, and their answers",
    run: (open) =>
      pair(open, async (near, left, far, right) => {
        for (const size of [0, 1, 1_500, 60_000, 65_507, 0]) {
          const [sent, answered] = [right.got.length, left.got.length];
          const bytes = pattern(size);
          near.send(bytes);
          await left.until(() => left.got.length > answered);
          assert.deepEqual(right.got[sent], { bytes, remote: `127.0.0.1:${near.port}` });
          assert.deepEqual(left.got[answered], { bytes, remote: `127.0.0.1:${far.port}` });
        }
      }),
  },
  {
    name: "what is sent in one turn arrives in order and is not joined",
    run: (open) =>
      pair(open, async (near, left) => {
        const sizes = [1_000, 0, 1, 1_472, 3, 0, 700, 9_000, 5, 6];
        left.calling = true;
        for (const size of sizes) near.send(pattern(size));
        left.calling = false;
        await left.until(() => left.got.length === sizes.length);
        assert.deepEqual(
          left.got.map(({ bytes }) => bytes.length),
          sizes,
        );
        assert.ok(left.got.every(({ bytes }) => Buffer.from(pattern(bytes.length)).equals(bytes)));
      }),
  },
  {
    name: "the bytes that came are the handler's own: later ones do not change them, and they pin no large buffer",
    run: (open) =>
      pair(open, async (near, _, __, right) => {
        for (const byte of [1, 2, 3]) {
          near.send(new Uint8Array(100).fill(byte));
          await right.until(() => right.got.length === byte);
        }
        for (const [at, { bytes }] of right.got.entries()) {
          assert.ok(bytes.every((byte) => byte === at + 1));
          assert.ok(bytes.buffer.byteLength <= 4 * 100 + 1_024);
        }
      }),
  },
  {
    name: "one socket talks to many, and each gets what is meant for it",
    run: async (open) => {
      const right = new Ear();
      const far = await open({ host: "127.0.0.1" }, right);
      right.echo = far;
      const ears = [new Ear(), new Ear(), new Ear()];
      const sockets = await Promise.all(
        ears.map((ear) => open({ remote: { host: "127.0.0.1", port: far.port } }, ear)),
      );
      for (const [at, socket] of sockets.entries()) socket.send(Uint8Array.of(at));
      await Promise.all(ears.map((ear) => ear.until(() => ear.got.length === 1)));
      assert.deepEqual(
        ears.map((ear) => [...(ear.got[0]?.bytes ?? [])]),
        [[0], [1], [2]],
      );
      for (const socket of [...sockets, far]) socket.close();
    },
  },
  {
    name: "a connected socket hears nobody else",
    run: (open) =>
      pair(open, async (near, left, far) => {
        const stranger = await open({ host: "127.0.0.1" }, nobody);
        stranger.send(Uint8Array.of(6, 6, 6), `127.0.0.1:${near.port}`);
        far.send(Uint8Array.of(1), `127.0.0.1:${near.port}`);
        await left.until(() => left.got.length > 0);
        assert.equal(left.got[0]?.bytes.length, 1);
        stranger.close();
      }),
  },
  {
    name: "IPv6 addresses stand in brackets, in and out",
    run: (open) =>
      pair(
        open,
        async (near, left, far, right) => {
          near.send(pattern(10));
          await left.until(() => left.got.length === 1);
          assert.equal(right.got[0]?.remote, `[::1]:${near.port}`);
          assert.equal(left.got[0]?.remote, `[::1]:${far.port}`);
          assert.equal(far.host, "::1");
        },
        "::1",
      ),
  },
  {
    name: "a socket on all IPv6 addresses talks to IPv4 too, and calls it so",
    run: async (open) => {
      const right = new Ear();
      const far = await open({ host: "::" }, right);
      right.echo = far;
      const left = new Ear();
      const near = await open({ remote: { host: "127.0.0.1", port: far.port } }, left);
      near.send(pattern(10));
      await left.until(() => left.got.length === 1);
      assert.equal(right.got[0]?.remote, `127.0.0.1:${near.port}`);
      near.close();
      far.close();
    },
  },
  {
    name: "localhost is 127.0.0.1, and a name without an address is refused",
    run: async (open) => {
      const right = new Ear();
      const far = await open({ host: "127.0.0.1" }, right);
      const near = await open({ remote: { host: "localhost", port: far.port } }, nobody);
      near.send(pattern(3));
      await right.until(() => right.got.length === 1);
      near.close();
      far.close();
      assert.equal(
        await refusal(open({ remote: { host: "nowhere.invalid", port: 9 } }, nobody)),
        "origin-not-found",
      );
    },
  },
  {
    name: "a port that is taken, and an address that is not ours, are refused",
    run: async (open) => {
      const far = await open({ host: "127.0.0.1" }, nobody);
      assert.equal(await refusal(open({ host: "127.0.0.1", port: far.port }, nobody)), "port-in-use");
      assert.equal(await refusal(open({ host: "192.0.2.77" }, nobody)), "port-in-use");
      far.close();
      const again = await open({ host: "127.0.0.1", port: far.port }, nobody);
      assert.equal(again.port, far.port);
      again.close();
    },
  },
  {
    name: "a port is shared with another socket where both ask for that",
    skipOnDeno: "node:dgram of Deno 2.9.6 knows no SO_REUSEPORT",
    run: async (open) => {
      const one = await open({ host: "127.0.0.1", reusePort: true }, nobody);
      const other = await open({ host: "127.0.0.1", port: one.port, reusePort: true }, nobody);
      assert.equal(other.port, one.port);
      assert.equal(await refusal(open({ host: "127.0.0.1", port: one.port }, nobody)), "port-in-use");
      one.close();
      other.close();
    },
  },
  {
    name: "a port where nobody listens is told as refused",
    skipOnDeno: "node:dgram of Deno 2.9.6 swallows what ICMP tells",
    run: async (open) => {
      const gone = await open({ host: "127.0.0.1" }, nobody);
      gone.close();
      const ear = new Ear();
      const near = await open({ remote: { host: "127.0.0.1", port: gone.port } }, ear);
      near.send(pattern(1));
      await ear.until(() => ear.failures.length > 0);
      assert.equal(ear.failures[0], "refused");
      near.close();
    },
  },
  {
    name: "after a refusal a connected socket goes on, and loses nothing that is sent later",
    run: async (open) => {
      const gone = await open({ host: "127.0.0.1" }, nobody);
      gone.close();
      const near = await open({ remote: { host: "127.0.0.1", port: gone.port } }, nobody);
      // Each is refused; the next call of the system tells so in place of sending.
      for (let round = 0; round < 4; round++) near.send(pattern(1));
      const right = new Ear();
      const far = await open({ host: "127.0.0.1", port: gone.port }, right);
      for (const size of [7, 8, 9]) near.send(pattern(size));
      await right.until(() => right.got.some(({ bytes }) => bytes.length === 9));
      const late = right.got.map(({ bytes }) => bytes.length).filter((length) => length > 1);
      assert.deepEqual(late, [7, 8, 9]);
      near.close();
      far.close();
    },
  },
  {
    name: "refusals of one visitor cost another none of his datagrams",
    run: async (open) => {
      const gone = await open({ host: "127.0.0.1" }, nobody);
      gone.close();
      const ear = new Ear();
      const far = await open({ host: "127.0.0.1" }, ear);
      const left = new Ear();
      const near = await open({ remote: { host: "127.0.0.1", port: far.port } }, left);
      for (let round = 0; round < 20; round++) {
        far.send(pattern(1), `127.0.0.1:${gone.port}`);
        far.send(pattern(round), `127.0.0.1:${near.port}`);
      }
      await left.until(() => left.got.length === 20);
      // By the time of an answer to this all that was refused before has been told, if it is told at all.
      near.send(pattern(1));
      await ear.until(() => ear.got.length === 1);
      assert.deepEqual(ear.failures, []);
      near.close();
      far.close();
    },
  },
  {
    name: "what is too large, or sent after close, is ignored, and close is idempotent",
    run: (open) =>
      pair(open, async (near, left, far, right) => {
        near.send(new Uint8Array(65_508));
        near.send(pattern(5));
        await left.until(() => left.got.length === 1);
        assert.equal(right.got[0]?.bytes.length, 5);
        near.send(pattern(6));
        near.close();
        near.close();
        near.send(pattern(7));
        far.send(pattern(1), "127.0.0.1:0");
        far.send(pattern(1), `127.0.0.1:${near.port}`);
        const last = await open({ remote: { host: "127.0.0.1", port: far.port } }, nobody);
        last.send(pattern(8));
        await right.until(() => right.got.at(-1)?.bytes.length === 8);
        assert.equal(left.got.length, 1);
        last.close();
      }),
  },
  {
    name: "a burst of more than waits for the system is dropped, not kept",
    run: (open) =>
      pair(open, async (near, _, far, right) => {
        right.echo = undefined;
        for (let at = 0; at < 400; at++) near.send(new Uint8Array(60_000).fill(at));
        near.send(Uint8Array.of(1));
        // The last is the youngest: it is among those that were kept. It may be lost in the system still.
        const again = setInterval(() => near.send(Uint8Array.of(1)), 20);
        await right.until(() => right.got.at(-1)?.bytes.length === 1);
        clearInterval(again);
        assert.ok(right.got.length < 60, `${right.got.length} of 400 large ones came`);
        assert.ok(far.port > 0);
      }),
  },
];
