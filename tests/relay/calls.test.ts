import { describe, expect, test } from "bun:test";
import type { AgentSession } from "../../relay/agent-session.ts";
import type { Claims } from "../../relay/auth/claims.ts";
import { type CallEnd, Calls } from "../../relay/ingress/calls.ts";
import type { RelayEvent } from "../../relay/log.ts";
import type { Code } from "../../shared/errors.ts";
import { decodeHead, encodeHead, type HeadFields } from "../../shared/head.ts";
import { type SessionKind, streamKinds } from "../../shared/kind.ts";
import { HoldSetUp } from "./fake-tunnel.ts";
import { IncomingStream } from "./incoming-stream.ts";

const noHead = encodeHead({});

class SetUp {
  readonly all = new HoldSetUp();
  readonly log: RelayEvent[] = [];
  readonly calls: Calls;
  readonly reached: string[] = [];
  hog = false;
  claims: Partial<Claims> = { connect: ["blue"], egress: ["*:*"] };

  constructor({ egress = true }: { readonly egress?: boolean } = {}) {
    this.calls = new Calls({
      ...this.all.deps,
      log: { write: (event) => void this.log.push(event) },
      mayReach: (_claims, target) =>
        target.endsWith(":443") ? (target.startsWith("*") ? "yes" : "public") : "no",
      isHog: () => this.hog,
      egress: egress
        ? (stream, head, _agent, done) => {
            this.reached.push(head.target ?? "");
            done({ bytesIn: 1, bytesOut: 2 } satisfies CallEnd);
            return stream.handler;
          }
        : undefined,
    });
  }

  open(kind: SessionKind, head: HeadFields = {}, streamKind: number = streamKinds.tcp): IncomingStream {
    const claims = { issuer: "underpass", subject: "me", kinds: [], connect: [], egress: [], ...this.claims };
    const agent = { kind, name: "blue", claims } as unknown as AgentSession;
    const incoming = new IncomingStream(streamKind);
    incoming.handler = this.calls.open(agent, incoming.stream, encodeHead(head));
    return incoming;
  }
}

describe("a stream of an agent that connects", () => {
  test("goes to the private tunnel: HEAD, bytes and ends both ways, with their number in the log", () => {
    const { all, log, ...rest } = new SetUp();
    all.agentComes(1);
    const near = SetUp.prototype.open.call({ ...rest, all, log }, "connect");
    const far = all.tunnel.last;
    far.handler.head(noHead);
    near.handler.data(new Uint8Array(5));
    far.handler.data(new Uint8Array(7));
    near.handler.end();
    far.handler.end();
    expect([near.said, far.body.length, far.said]).toEqual([["HEAD", "DATA 7", "END"], 5, ["END"]]);
    expect(log).toMatchObject([{ event: "stream", name: "blue", kind: "connect", bytesIn: 5, bytesOut: 7 }]);
    expect(all.metrics.streamsOpen).toBe(0);
  });

  test("is told why there is no far end, as the far agent told it", () => {
    const setUp = new SetUp();
    setUp.all.agentComes(1);
    const near = setUp.open("connect");
    setUp.all.tunnel.last.fails("origin-refused");
    expect(near.said).toEqual(["RESET origin-refused"]);
    expect([setUp.log, setUp.all.metrics.streamsOpen]).toMatchObject([[{ code: "origin-refused" }], 0]);
  });

  test("waits for an agent that is expected, and gets its refusal at once where none is", () => {
    const setUp = new SetUp();
    const near = setUp.open("connect");
    expect(near.said).toEqual([]);
    setUp.all.agentComes(1);
    setUp.all.tunnel.last.handler.head(noHead);
    expect(near.said).toEqual(["HEAD"]);
    setUp.all.agentSaysBye();
    expect(setUp.open("connect").said).toEqual(["RESET agent-offline"]);
  });

  test("is broken at the far end when it breaks, and the other way round", () => {
    const setUp = new SetUp();
    setUp.all.agentComes(2);
    const first = setUp.open("connect");
    const one = setUp.all.tunnel.last;
    first.handler.reset("cancelled");
    expect(one.resetCode).toBe("cancelled");
    const second = setUp.open("connect");
    const two = setUp.all.tunnel.last;
    two.handler.head(noHead);
    two.fails("origin-closed");
    expect(second.said).toEqual(["HEAD", "RESET origin-closed"]);
  });
});

describe("a stream is refused", () => {
  const cases: readonly [string, SessionKind, HeadFields, number, Partial<Claims>, Code][] = [
    ["after the token lost the tunnel", "connect", {}, streamKinds.tcp, { connect: [] }, "connect-denied"],
    ["of kind udp to a private tunnel", "connect", {}, streamKinds.udp, {}, "kind-unknown"],
    [
      "with a target to a private tunnel",
      "connect",
      { target: "a:443" },
      streamKinds.tcp,
      {},
      "head-invalid",
    ],
    ["on a session that serves", "private", {}, streamKinds.tcp, {}, "kind-unknown"],
    [
      "on a session that serves, with a target",
      "http",
      { target: "a:443" },
      streamKinds.tcp,
      {},
      "kind-unknown",
    ],
    ["without a target", "via", {}, streamKinds.tcp, {}, "head-invalid"],
    ["without a target, out at the relay", "egress", {}, streamKinds.udp, {}, "head-invalid"],
    ["of kind http", "via", { target: "a:443" }, streamKinds.http, {}, "kind-unknown"],
    ["to a target that is not granted", "via", { target: "a:80" }, streamKinds.tcp, {}, "egress-denied"],
    [
      "as a flow to a target that is not granted",
      "via",
      { target: "a:80" },
      streamKinds.udp,
      {},
      "egress-denied",
    ],
  ];
  for (const [what, kind, head, streamKind, claims, code] of cases) {
    test(`${what}: ${code}`, () => {
      const setUp = new SetUp();
      setUp.all.agentComes(1);
      setUp.claims = { ...setUp.claims, ...claims };
      expect(setUp.open(kind, head, streamKind).said).toEqual([`RESET ${code}`]);
      expect([setUp.all.tunnel.streams.length, setUp.reached]).toEqual([0, []]);
    });
  }

  test("of a subject that has so many that the rest is for others: too-many-streams", () => {
    const setUp = new SetUp();
    setUp.all.agentComes(1);
    setUp.hog = true;
    expect(setUp.open("connect").said).toEqual(["RESET too-many-streams"]);
    expect(setUp.open("egress", { target: "a:443" }).said).toEqual(["RESET too-many-streams"]);
  });

  test("out at a relay that reaches nothing: kind-unknown", () => {
    const setUp = new SetUp({ egress: false });
    expect(setUp.open("egress", { target: "a:443" }).said).toEqual(["RESET kind-unknown"]);
  });
});

describe("a way out", () => {
  test("at an agent has the target with it", () => {
    const setUp = new SetUp();
    setUp.all.agentComes(1);
    setUp.open("via", { target: "db.internal:443" });
    expect(decodeHead(new TextEncoder().encode(setUp.all.tunnel.last.opening))?.target).toBe(
      "db.internal:443",
    );
  });

  test("at the relay is asked for what the token grants there", () => {
    const setUp = new SetUp();
    setUp.open("egress", { target: "example.com:80" });
    const line = { kind: "egress", subject: "me", target: "example.com:80", bytesIn: 1 };
    expect([setUp.reached, setUp.log]).toMatchObject([["example.com:80"], [line]]);
  });

  test("of datagrams passes them both ways, and its end", () => {
    const setUp = new SetUp();
    setUp.all.agentComes(1);
    const near = setUp.open("via", { target: "a:443" }, streamKinds.udp);
    const far = setUp.all.tunnel.last;
    const sent: number[] = [];
    Object.assign(far, { datagram: (bytes: Uint8Array) => void sent.push(bytes.length) });
    far.handler.head(noHead);
    near.handler.datagram?.(new Uint8Array(3));
    far.handler.datagram?.(new Uint8Array(4));
    far.handler.end();
    expect([near.said, sent, far.said]).toEqual([["HEAD", "DATAGRAM 4", "END"], [3], ["END"]]);
    expect(setUp.log).toMatchObject([{ kind: "via", bytesIn: 3, bytesOut: 4 }]);
  });

  test("of datagrams takes one HEAD of the agent, without fields: more would pile up for a caller without credit", () => {
    const setUp = new SetUp();
    setUp.all.agentComes(2);
    const flow = (...heads: Uint8Array[]) => {
      const near = setUp.open("via", { target: "a:443" }, streamKinds.udp);
      const far = setUp.all.tunnel.last;
      for (const head of heads) far.handler.head(head);
      return [near.said, far.resetCode];
    };
    expect(flow(noHead, noHead)).toEqual([["HEAD", "RESET stream-state"], "stream-state"]);
    expect(flow(encodeHead({ target: "a:443" }))).toEqual([["RESET head-invalid"], "head-invalid"]);
  });

  test("of datagrams is refused where the agent is away, as nobody waits with one", () => {
    const setUp = new SetUp();
    expect(setUp.open("via", { target: "a:443" }, streamKinds.udp).said).toEqual(["RESET agent-offline"]);
  });
});
