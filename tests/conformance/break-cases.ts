import assert from "node:assert/strict";
import { bytesOf, mebibyte, pair, type Run, type SocketCase } from "./socket-case.ts";
import { SocketEar as Ear } from "./socket-ear.ts";

interface Situation {
  /** Brings both ends to where one of them breaks off. */
  prepare(breaker: Ear, witness: Ear): Promise<void> | void;
  /** How often the witness hears the end of the breaker's direction. */
  readonly ends?: number;
  /** The witness is paused: it may hear of it late, but does when it goes on. */
  readonly resume?: true;
  readonly tls?: true;
}

/** Whoever breaks off, the side that dialled or the other: the far end can tell it from an end. */
function breaks({ prepare, ends = 0, resume, tls }: Situation): Run {
  return async (context) => {
    for (const dialled of [true, false]) {
      await pair(context, { ...(tls && { tls }) }, async (near, far) => {
        const breaker = new Ear(dialled ? near : far);
        const witness = new Ear(dialled ? far : near);
        await prepare(breaker, witness);
        breaker.call((socket) => socket.destroy());
        await breaker.until(() => breaker.closes.length === 1);
        if (resume) witness.call((socket) => socket.resume());
        await witness.until(() => witness.closes.length === 1);
        assert.deepEqual([breaker.closes, witness.closes, witness.ends], [[false], [true], ends]);
        assert.equal(witness.socket.queued, 0);
      });
    }
  };
}

const filled = (ear: Ear): void => {
  ear.call((socket) => {
    while (socket.queued < mebibyte) socket.write(new Uint8Array(mebibyte));
  });
};

async function greeted(breaker: Ear, witness: Ear): Promise<void> {
  breaker.call((socket) => socket.write(bytesOf("x")));
  await witness.until(() => witness.bytes === 1);
}

/** The last word is out before the reset. */
const lastWord: Run = (context) =>
  pair(context, {}, async (near, far) => {
    const witness = new Ear(far);
    new Ear(near).call((socket) => {
      socket.write(bytesOf("busy"));
      socket.destroy();
    });
    await witness.until(() => witness.closes.length === 1);
    assert.deepEqual([witness.text(), witness.closes], ["busy", [true]]);
  });

/** Breaking off, in every situation that a splice meets. */
export const breakCases: readonly SocketCase[] = [
  { name: "a break arrives as a reset", run: breaks({ prepare: greeted }) },
  { name: "what is written just before a break arrives before the reset", run: lastWord },
  {
    name: "over TLS a break arrives as a reset",
    run: breaks({ prepare: greeted, tls: true }),
    skipOnNode: "node:tls tells an end without TLS's goodbye as an end",
  },
  {
    name: "a break arrives as a reset where bytes are queued for whoever breaks off",
    run: breaks({
      async prepare(breaker, witness) {
        await greeted(breaker, witness);
        breaker.call((socket) => socket.pause());
        filled(witness);
      },
    }),
  },
  {
    name: "a break arrives as a reset though bytes of whoever breaks off are on the way",
    run: breaks({ prepare: filled }),
  },
  {
    name: "a break after one's own end arrives as a reset",
    run: breaks({
      ends: 1,
      async prepare(breaker, witness) {
        breaker.call((socket) => socket.end());
        await witness.until(() => witness.ends === 1);
        witness.call((socket) => socket.write(bytesOf("x")));
        await breaker.until(() => breaker.bytes === 1);
      },
    }),
    skipOnDeno: "node:net of Deno 2.9.6 hears nothing after the far end's half-close until it writes",
  },
  {
    name: "a break after one's own end arrives as a reset where bytes are queued",
    run: breaks({
      ends: 1,
      async prepare(breaker, witness) {
        breaker.call((socket) => socket.pause());
        breaker.call((socket) => socket.end());
        await witness.until(() => witness.ends === 1);
        filled(witness);
      },
    }),
  },
  {
    name: "a break after the other's end arrives as a reset",
    run: breaks({
      async prepare(breaker, witness) {
        witness.call((socket) => socket.end());
        await breaker.until(() => breaker.ends === 1);
      },
    }),
  },
  {
    name: "a break is told to a paused end when it goes on, or before",
    run: breaks({
      resume: true,
      async prepare(breaker, witness) {
        await greeted(breaker, witness);
        witness.call((socket) => socket.pause());
        filled(breaker);
      },
    }),
  },
];
