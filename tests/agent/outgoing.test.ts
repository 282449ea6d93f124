import { describe, expect, test } from "bun:test";
import { Outgoing } from "../../agent/outgoing.ts";
import type { HeldSession } from "../../shared/dial/held-session.ts";
import { decodeHead, encodeHead } from "../../shared/head.ts";
import { streamKinds } from "../../shared/kind.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import { OpenedStream } from "../relay/fake-tunnel.ts";
import { VirtualClock } from "./virtual-clock.ts";

const noHead = encodeHead({});

/** A session of the pool, as far as choosing one goes. */
class FakeSession {
  isUp = true;
  leaving = false;
  room = Number.POSITIVE_INFINITY;
  readonly streams: {
    readonly kind: number;
    readonly target: string | undefined;
    readonly opened: OpenedStream;
  }[] = [];

  constructor(readonly roadMs: number) {}

  get held(): HeldSession {
    const fake = this;
    const session = {
      get leaving() {
        return fake.leaving;
      },
      openStreams: 0,
      unacknowledgedBytes: 0,
      ledger: { flight: { rate: 0, roadMs: this.roadMs } },
      open(kind: number, fields: Uint8Array, handler: StreamHandler): Stream | undefined {
        if (fake.streams.length >= fake.room) return undefined;
        const opened = new OpenedStream("", handler, () => {});
        fake.streams.push({ kind, target: decodeHead(fields)?.target, opened });
        return opened.stream;
      },
    };
    const driver = {
      session,
      get isUp() {
        return fake.isUp;
      },
    };
    return { driver } as unknown as HeldSession;
  }
}

function setUp(...sessions: FakeSession[]) {
  const clock = new VirtualClock();
  const held = sessions.map((session) => session.held);
  const state = { alive: true };
  const outgoing = new Outgoing({ clock, sessions: () => held, isAlive: () => state.alive });
  return { clock, outgoing, state };
}

/** Opens a stream, and keeps what its end tells. */
function call(outgoing: Outgoing, target?: string) {
  const heard: string[] = [];
  const end = outgoing.tcp(target, () => void heard.push("opened"));
  end.handler = {
    data: (bytes) => void heard.push(`data ${bytes.length}`),
    drained() {},
    ended: () => void heard.push("ended"),
    aborted: (code) => void heard.push(`aborted ${code}`),
  };
  return { end, heard };
}

describe("a stream that an agent opens", () => {
  test("goes on the session that will answer soonest, with its target", () => {
    const [slow, quick] = [new FakeSession(50), new FakeSession(5)];
    const { outgoing } = setUp(slow, quick);
    const { heard } = call(outgoing, "db.internal:5432");
    expect([slow.streams.length, quick.streams]).toMatchObject([
      0,
      [{ kind: streamKinds.tcp, target: "db.internal:5432" }],
    ]);
    quick.streams[0]?.opened.handler.head(noHead);
    expect(heard).toEqual(["opened"]);
  });

  test("goes elsewhere where that session is full, suspect, or told to leave", () => {
    for (const trouble of [{ room: 0 }, { isUp: false }, { leaving: true }]) {
      const [other, best] = [new FakeSession(50), new FakeSession(5)];
      Object.assign(best, trouble);
      const { outgoing } = setUp(other, best);
      call(outgoing);
      expect([other.streams.length, best.streams.length]).toEqual([1, 0]);
    }
  });

  test("waits for a link, with what was written meanwhile, and is given up after 10 s", () => {
    const session = new FakeSession(5);
    session.isUp = false;
    const { clock, outgoing } = setUp(session);
    const { end, heard } = call(outgoing);
    end.write(new Uint8Array(4));
    clock.advance(5_000);
    session.isUp = true;
    outgoing.tryAgain();
    expect([session.streams[0]?.opened.body.length, heard]).toEqual([4, []]);
    session.isUp = false;
    const late = call(outgoing);
    clock.advance(10_000);
    expect([late.heard, clock.timers]).toEqual([["aborted agent-offline"], 0]);
  });

  test("is told at once, but never from inside, that there will be no link any more", async () => {
    const { outgoing, state, clock } = setUp();
    state.alive = false;
    const { heard } = call(outgoing);
    expect(heard).toEqual([]);
    clock.advance(0);
    await new Promise((resolve) => setImmediate(resolve));
    expect(heard).toEqual(["aborted link-lost"]);
  });

  test("that the relay has not looked at goes on another session, bytes and all", () => {
    const [first, second] = [new FakeSession(5), new FakeSession(50)];
    const { outgoing } = setUp(first, second);
    const { end, heard } = call(outgoing, "a:1");
    end.write(new Uint8Array(3));
    end.end();
    first.leaving = true;
    first.streams[0]?.opened.fails("unprocessed");
    expect(second.streams).toMatchObject([{ target: "a:1" }]);
    expect([second.streams[0]?.opened.body.length, second.streams[0]?.opened.said, heard]).toEqual([
      3,
      ["END"],
      [],
    ]);
  });
});

describe("a flow", () => {
  const flowOf = (outgoing: Outgoing) => {
    const heard: string[] = [];
    const flow = outgoing.udp("a:53", {
      opened: () => void heard.push("opened"),
      datagram: (bytes) => void heard.push(`datagram ${bytes.length}`),
      closed: (code) => void heard.push(`closed ${code}`),
    });
    return { flow, heard };
  };

  test("has its datagrams both ways, and is told once when it is over", () => {
    const session = new FakeSession(5);
    const { outgoing } = setUp(session);
    const { flow, heard } = flowOf(outgoing);
    const far = session.streams[0]?.opened;
    const sent: number[] = [];
    Object.assign(far ?? {}, { datagram: (bytes: Uint8Array) => void sent.push(bytes.length) });
    flow.send(new Uint8Array(9));
    far?.handler.head(noHead);
    far?.handler.datagram?.(new Uint8Array(7));
    far?.handler.end();
    far?.handler.reset("link-lost");
    expect([sent, heard, far?.said]).toEqual([[9], ["opened", "datagram 7", "closed undefined"], ["END"]]);
  });

  test("hears nothing after its own close", () => {
    const session = new FakeSession(5);
    const { outgoing } = setUp(session);
    const { flow, heard } = flowOf(outgoing);
    flow.close();
    const far = session.streams[0]?.opened;
    far?.handler.datagram?.(new Uint8Array(7));
    far?.handler.reset("link-lost");
    expect([heard, far?.said]).toEqual([[], ["END"]]);
  });

  test("is over at once where no link is there", async () => {
    const { outgoing } = setUp();
    const { heard } = flowOf(outgoing);
    await new Promise((resolve) => setImmediate(resolve));
    expect(heard).toEqual(["closed agent-offline"]);
  });
});
