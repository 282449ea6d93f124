import { describe, expect, test } from "bun:test";
import { Hops, hopHead, readHopHead } from "../../relay/cluster/hop.ts";
import { hopTags, putFirst, takeFirst } from "../../relay/cluster/hop-head.ts";
import { encodeHead } from "../../shared/head.ts";
import { holdLimits } from "../../shared/hold.ts";
import { encodeLatin1 } from "../../shared/http1/latin1.ts";
import { streamKinds } from "../../shared/kind.ts";
import { Memory } from "../../shared/mux/memory.ts";
import { HoldSetUp } from "./fake-tunnel.ts";
import { IncomingStream } from "./incoming-stream.ts";

const request = "GET / HTTP/1.1\r\nHost: blue.localhost\r\n";
const fields = encodeHead({ http: encodeLatin1(request), visitor: "1.2.3.4:5" });
const noHead = encodeHead({});

class SetUp {
  readonly all = new HoldSetUp();
  /** Other relays with agents of the tunnel. */
  elsewhere: string[] = [];
  readonly hops = new Hops({
    ...{ ...this.all.deps, memory: new Memory(2 ** 28), relaysOf: () => this.elsewhere },
  });

  /** What a neighbour opens. */
  takes(head: Uint8Array, kind: number = streamKinds.http): IncomingStream {
    const near = new IncomingStream(kind);
    near.handler = this.hops.take(near.stream, head);
    return near;
  }

  visits({ waits = false, kind = streamKinds.http as number } = {}): IncomingStream {
    const service = kind === streamKinds.udp ? "udp" : "http";
    return this.takes(hopHead({ service, name: "blue", waits }, fields), kind);
  }

  expectNothingLeft(): void {
    expect([this.hops.open, this.all.metrics.streamsOpen, this.all.hold.heldBytes]).toEqual([0, 0, 0]);
  }
}

describe("a head between relays", () => {
  test("says which tunnel the stream is for, and leaves the rest as it is", () => {
    for (const waits of [false, true]) {
      const target = { service: "egress", name: "blue", waits } as const;
      const first = takeFirst(hopHead(target, fields));
      expect(first?.rest).toEqual(fields);
      expect(first && readHopHead(first)).toEqual(target);
    }
  });

  test.each(["", "http", "http ", "http BLUE", "ftp blue", "http blue later", "http blue waits waits"])(
    "that says %p is none",
    (text) => {
      const setUp = new SetUp();
      setUp.all.agentComes();
      expect(setUp.takes(putFirst(hopTags.tunnel, encodeLatin1(text), fields)).said).toEqual([
        "RESET head-invalid",
      ]);
      expect(setUp.all.tunnel.streams).toEqual([]);
      setUp.expectNothingLeft();
    },
  );

  test("that is cut off is none", () => {
    const whole = hopHead({ service: "http", name: "blue", waits: true }, new Uint8Array(0));
    const setUp = new SetUp();
    for (let end = 0; end < whole.length; end++)
      expect(setUp.takes(whole.slice(0, end)).said).toEqual(["RESET head-invalid"]);
    expect(setUp.takes(fields).said).toEqual(["RESET head-invalid"]);
  });
});

describe("a visitor's stream from a neighbour", () => {
  test("goes to the agent that is here, all frames as they are", () => {
    const setUp = new SetUp();
    setUp.all.agentComes();
    const near = setUp.visits();
    const far = setUp.all.tunnel.last;
    expect(far.opening).toBe(request);
    near.handler.data(encodeLatin1("abc"));
    near.handler.head(encodeHead({ trailers: encodeLatin1("A: b\r\n") }));
    near.handler.end();
    near.handler.left();
    expect([far.body, far.trailers, far.said]).toEqual(["abc", "A: b\r\n", ["TRAILERS", "END", "LEFT"]]);
    expect(setUp.hops.open).toBe(1);
    far.answers("four");
    expect(near.said).toEqual(["HEAD", "DATA 4", "END"]);
    setUp.expectNothingLeft();
  });

  test("is kept back on either side where the other one reads slowly", () => {
    const setUp = new SetUp();
    setUp.all.tunnel.nextHighBytes = 2;
    setUp.all.agentComes();
    const near = setUp.visits();
    const far = setUp.all.tunnel.last;
    far.handler.head(noHead);
    Object.assign(far, { queued: 3 });
    near.handler.data(encodeLatin1("abc"));
    expect(near.heldBytes).toBe(3);
    far.handler.writable();
    expect(near.heldBytes).toBe(0);
    near.isFull = true;
    far.handler.data(encodeLatin1("12345"));
    expect(far.heldBytes).toBe(5);
    near.handler.writable();
    expect(far.heldBytes).toBe(0);
  });

  test("breaks off on both sides, whoever breaks it", () => {
    const setUp = new SetUp();
    setUp.all.agentComes();
    const near = setUp.visits();
    near.handler.reset("cancelled");
    expect(setUp.all.tunnel.last.resetCode).toBe("cancelled");
    setUp.expectNothingLeft();
    const other = setUp.visits();
    setUp.all.tunnel.last.fails("origin-refused");
    expect(other.said).toEqual(["RESET origin-refused"]);
    setUp.expectNothingLeft();
  });

  test("goes nowhere else when an agent that has looked at it says so", () => {
    const setUp = new SetUp();
    setUp.all.agentComes();
    const near = setUp.visits();
    setUp.all.tunnel.last.fails("agent-elsewhere");
    expect(near.said).toEqual(["RESET stream-failed"]);
    setUp.expectNothingLeft();
  });

  test("is told at once that no agent is here, where there is another relay to ask", () => {
    const setUp = new SetUp();
    expect(setUp.all.tunnel.expected).toBe(true);
    expect(setUp.visits().said).toEqual(["RESET agent-elsewhere"]);
    setUp.expectNothingLeft();
  });

  test("waits for an agent that is expected, where there is none", () => {
    const setUp = new SetUp();
    const near = setUp.visits({ waits: true });
    near.handler.data(encodeLatin1("abc"));
    expect([near.said, setUp.hops.open]).toEqual([[], 1]);
    setUp.all.agentComes();
    expect(setUp.all.tunnel.last.body).toBe("abc");
    setUp.all.tunnel.last.answers("");
    near.handler.end();
    expect(near.said).toEqual(["HEAD", "END"]);
    setUp.expectNothingLeft();
  });

  test("that waits is told that the agent went elsewhere, or did not come in time", () => {
    const setUp = new SetUp();
    const gone = setUp.visits({ waits: true });
    setUp.all.agentSaysBye();
    expect(gone.said).toEqual(["RESET agent-elsewhere"]);
    expect(setUp.visits({ waits: true }).said).toEqual(["RESET agent-elsewhere"]);
    setUp.all.tunnel.expected = true;
    const late = setUp.visits({ waits: true });
    setUp.all.clock.advance(holdLimits.holdMs);
    expect(late.said).toEqual(["RESET agent-offline"]);
    setUp.expectNothingLeft();
  });

  test("that waits goes to where an agent has come since, and stays where others were before", () => {
    const setUp = new SetUp();
    setUp.elsewhere = ["aaaaaaaa", "cccccccc"];
    const near = setUp.visits({ waits: true });
    setUp.elsewhere = ["cccccccc"];
    setUp.all.hold.tryAgain("blue");
    expect(near.said).toEqual([]);
    setUp.elsewhere = ["cccccccc", "dddddddd"];
    setUp.all.hold.tryAgain("blue");
    expect(near.said).toEqual(["RESET agent-elsewhere"]);
    setUp.expectNothingLeft();
  });

  test("is refused where the agent has as many as it may: that is no reason to look elsewhere", () => {
    const setUp = new SetUp();
    setUp.all.tunnel.reachable = true;
    expect(setUp.visits({ waits: true }).said).toEqual(["RESET too-many-streams"]);
    setUp.expectNothingLeft();
  });
});

describe("a flow of datagrams from a neighbour", () => {
  const flow = (setUp: SetUp) => setUp.visits({ kind: streamKinds.udp, waits: true });
  const sends = (near: IncomingStream, bytes: number) => near.handler.datagram?.(new Uint8Array(bytes));

  test("goes both ways", () => {
    const setUp = new SetUp();
    setUp.all.agentComes();
    const near = flow(setUp);
    const far = setUp.all.tunnel.last;
    far.handler.head(noHead);
    sends(near, 5);
    far.handler.datagram?.(new Uint8Array(7));
    near.handler.end();
    expect([near.said, far.datagrams, far.said]).toEqual([["HEAD", "DATAGRAM 7", "END"], [5], ["END"]]);
  });

  test("is told at once that no agent is here, where there is another relay to ask, none is expected, or it is a call", () => {
    const setUp = new SetUp();
    expect(setUp.visits({ kind: streamKinds.udp }).said).toEqual(["RESET agent-elsewhere"]);
    const head = hopHead({ service: "egress", name: "blue", waits: true }, fields);
    expect(setUp.takes(head, streamKinds.udp).said).toEqual(["RESET agent-elsewhere"]);
    setUp.all.tunnel.expected = false;
    expect(flow(setUp).said).toEqual(["RESET agent-elsewhere"]);
    setUp.expectNothingLeft();
  });

  test("waits for an agent that is expected, and its latest datagrams with it", () => {
    const setUp = new SetUp();
    const near = flow(setUp);
    for (const bytes of [65_507, 3, 65_507, 4]) sends(near, bytes);
    expect([near.said, setUp.all.hold.waiting]).toEqual([[], 1]);
    setUp.all.agentComes();
    expect(setUp.all.tunnel.last.datagrams).toEqual([3, 65_507, 4]);
    sends(near, 5);
    expect(setUp.all.tunnel.last.datagrams).toEqual([3, 65_507, 4, 5]);
    setUp.expectNothingLeft();
  });

  test("that waits is told that the agent went elsewhere, or did not come in time", () => {
    const setUp = new SetUp();
    const gone = flow(setUp);
    sends(gone, 5);
    setUp.all.agentSaysBye();
    expect(gone.said).toEqual(["RESET agent-elsewhere"]);
    setUp.all.tunnel.expected = true;
    const late = flow(setUp);
    setUp.all.clock.advance(holdLimits.holdMs);
    expect(late.said).toEqual(["RESET agent-offline"]);
    const left = flow(setUp);
    left.handler.end();
    setUp.all.agentComes();
    expect(setUp.all.tunnel.streams).toEqual([]);
    setUp.expectNothingLeft();
  });

  test("is given up where all that wait keep too much, and what went on is kept no more", () => {
    const setUp = new SetUp();
    for (let round = 0; round < 2; round++) {
      const flows = Array.from({ length: 64 }, () => {
        const near = flow(setUp);
        sends(near, 65_507);
        return near;
      });
      expect(flows.filter(({ said }) => said.length > 0).length).toBe(1);
      expect(flows[63]?.said).toEqual(["RESET agent-offline"]);
      setUp.all.agentComes();
      setUp.expectNothingLeft();
      setUp.all.agentLeaves();
    }
  });

  test("stays for 2 s with an agent that has no link, and then moves to another", () => {
    const setUp = new SetUp();
    setUp.all.agentComes();
    const near = flow(setUp);
    const first = setUp.all.tunnel.last;
    first.handler.head(noHead);
    first.isStuck = true;
    sends(near, 1);
    setUp.all.clock.advance(1_999);
    sends(near, 2);
    setUp.all.agentLeaves();
    setUp.all.clock.advance(1);
    sends(near, 3);
    expect([near.said, first.said]).toEqual([["HEAD"], []]);
    setUp.all.agentComes();
    sends(near, 4);
    const second = setUp.all.tunnel.last;
    expect([first.said, first.datagrams, second.datagrams]).toEqual([["END"], [], [4]]);
    // The first one is nobody's any more, and the neighbour has its HEAD.
    first.handler.reset("link-lost");
    second.handler.head(noHead);
    second.handler.datagram?.(new Uint8Array(7));
    expect(near.said).toEqual(["HEAD", "DATAGRAM 7"]);
  });

  test("ends then where agents are at other relays only, for the neighbour to find them", () => {
    const setUp = new SetUp();
    setUp.all.agentComes();
    const near = flow(setUp);
    const far = setUp.all.tunnel.last;
    setUp.all.agentLeaves();
    far.isStuck = true;
    setUp.elsewhere = ["other"];
    sends(near, 1);
    expect(near.said).toEqual([]);
    setUp.all.clock.advance(2_000);
    sends(near, 2);
    expect([near.said, far.said]).toEqual([["END"], ["END"]]);
  });

  test("goes to another agent where the first has not looked at it, and is sent nowhere else at an agent's word", () => {
    const setUp = new SetUp();
    setUp.all.agentComes();
    const near = flow(setUp);
    setUp.all.tunnel.last.fails("unprocessed");
    sends(near, 1);
    expect([setUp.all.tunnel.streams.length, setUp.all.tunnel.last.datagrams]).toEqual([2, [1]]);
    setUp.all.tunnel.last.fails("agent-elsewhere");
    expect(near.said).toEqual(["RESET stream-failed"]);
  });

  test("that has ended goes to no other agent, nor waits for one, where the first has not looked at it", () => {
    for (const isAnother of [true, false]) {
      const setUp = new SetUp();
      setUp.all.agentComes();
      const near = flow(setUp);
      near.handler.end();
      if (!isAnother) setUp.all.agentLeaves();
      setUp.all.tunnel.last.fails("unprocessed");
      expect([near.said, setUp.all.tunnel.streams.length]).toEqual([["END"], 1]);
      setUp.expectNothingLeft();
    }
  });
});

describe("a relay that leaves", () => {
  test("waits for the streams of neighbours, and for no longer than its grace", async () => {
    const setUp = new SetUp();
    setUp.all.agentComes();
    const near = setUp.visits();
    let done = 0;
    const first = setUp.hops.drain(1_000).then(() => done++);
    await Promise.resolve();
    expect(done).toBe(0);
    setUp.all.tunnel.last.answers("");
    near.handler.end();
    await first;
    expect(done).toBe(1);
    setUp.visits();
    const second = setUp.hops.drain(1_000);
    setUp.all.clock.advance(1_000);
    await second;
    expect(setUp.hops.open).toBe(1);
  });
});
