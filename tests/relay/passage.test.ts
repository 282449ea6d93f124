import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { TunnelWay } from "../../relay/tunnel-way.ts";
import type { Code } from "../../shared/errors.ts";
import { encodeHead } from "../../shared/head.ts";
import { holdLimits } from "../../shared/hold.ts";
import { encodeLatin1 } from "../../shared/http1/latin1.ts";
import { streamKinds } from "../../shared/kind.ts";
import type { StreamHandler } from "../../shared/mux/stream.ts";
import { Passage, passageLimits } from "../../shared/passage.ts";
import { HoldSetUp, type OpenedStream } from "./fake-tunnel.ts";

/** Whose request it is: what he heard. */
class Ear implements StreamHandler {
  readonly heard: string[] = [];
  head(): void {
    this.heard.push("head");
  }
  data(): void {
    this.heard.push("data");
  }
  end(): void {
    this.heard.push("end");
  }
  left(): void {}
  reset(code: Code): void {
    this.heard.push(code);
  }
  writable(): void {
    this.heard.push("writable");
  }
}

const opening = encodeHead({ http: encodeLatin1("GET / HTTP/1.1\r\n") });
const bytes = (text: string) => encodeLatin1(text);

function passageOf(all: HoldSetUp) {
  const ear = new Ear();
  return { ear, passage: new Passage(all.deps, all.way(), ear) };
}

/** Nothing is kept, held or counted. */
function expectNothingLeft(all: HoldSetUp): void {
  const { clock, hold, metrics } = all;
  expect([clock.timers, hold.waiting, hold.heldBytes, metrics.held]).toEqual([0, 0, 0, 0]);
}

describe("a request without an agent", () => {
  test("waits while one is expected, and then says all that it had to say", () => {
    const all = new HoldSetUp();
    const { ear, passage } = passageOf(all);
    expect(passage.start(opening)).toBeUndefined();
    expect([passage.waits, passage.opened]).toEqual([true, false]);
    expect(passage.write(bytes("abc"))).toBe(false);
    passage.sendTrailers(encodeHead({ trailers: bytes("A: b\r\n") }));
    passage.sendEnd();
    passage.sendLeft();
    expect(ear.heard).toEqual([]);
    all.agentComes();
    const { body, trailers, said } = all.tunnel.last;
    expect([body, trailers, said]).toEqual(["abc", "A: b\r\n", ["TRAILERS", "END", "LEFT"]]);
    expect(ear.heard).toEqual(["writable"]);
    all.tunnel.last.answers("");
    expect(ear.heard).toEqual(["writable", "head", "end"]);
    expectNothingLeft(all);
  });

  test("is refused at once where none is expected, or the session is full", () => {
    const all = new HoldSetUp();
    expect(new Passage(all.deps, all.way("red"), new Ear()).start(opening)).toBe("unknown-tunnel");
    all.tunnel.reachable = true;
    expect(passageOf(all).passage.start(opening)).toBe("too-many-streams");
    all.tunnel.reachable = false;
    all.tunnel.expected = false;
    expect(passageOf(all).passage.start(opening)).toBe("agent-offline");
    expectNothingLeft(all);
  });

  test("is refused at once when the agent says bye, and after its time when nobody comes", () => {
    const all = new HoldSetUp();
    const [first, second] = [passageOf(all), passageOf(all)];
    first.passage.start(opening);
    all.agentSaysBye();
    expect(first.ear.heard).toEqual(["agent-offline"]);
    all.tunnel.expected = true;
    second.passage.start(opening);
    all.clock.advance(holdLimits.holdMs - 1);
    expect(second.ear.heard).toEqual([]);
    all.clock.advance(1);
    expect(second.ear.heard).toEqual(["agent-offline"]);
    all.agentComes();
    expect(all.tunnel.streams).toEqual([]);
    expectNothingLeft(all);
  });

  test("is refused when there is no room for what came of its body", () => {
    const all = new HoldSetUp({ maxHeldBytes: 1_000 });
    const { ear, passage } = passageOf(all);
    passage.start(opening);
    // No reason to stop the visitor: he is about to get his answer.
    expect(passage.write(new Uint8Array(1_000))).toBe(true);
    expect(ear.heard).toEqual(["agent-offline"]);
    expectNothingLeft(all);
  });

  test("leaves its place when the visitor goes", () => {
    const all = new HoldSetUp();
    const { ear, passage } = passageOf(all);
    passage.start(opening);
    passage.cancel("cancelled");
    expectNothingLeft(all);
    all.agentComes();
    expect([ear.heard, all.tunnel.streams]).toEqual([[], []]);
  });

  test("does not go behind those who wait for a way out of the same tunnel's network", () => {
    const all = new HoldSetUp();
    const out = new Ear();
    const way = new TunnelWay(all.deps, "blue", "egress", streamKinds.tcp);
    expect(new Passage(all.deps, way, out).start(opening)).toBeUndefined();
    expect([all.hold.waiting, all.tunnel.streams.length]).toEqual([1, 0]);
    // The one that is there is no way out.
    const { tunnel } = all;
    const { open } = tunnel;
    tunnel.open = (service, ...rest) =>
      service === "egress" ? undefined : open.call(tunnel, service, ...rest);
    all.agentComes();
    const { passage } = passageOf(all);
    expect([passage.start(opening), passage.waits, tunnel.streams.length]).toEqual([undefined, false, 1]);
  });

  test("goes behind those that wait already", () => {
    const all = new HoldSetUp();
    const requests = ["a", "b", "c"].map((path) => {
      const one = passageOf(all);
      one.passage.start(encodeHead({ http: bytes(`GET /${path} HTTP/1.1\r\n`) }));
      return one;
    });
    // Room that nobody was told of.
    all.tunnel.room = 4;
    all.tunnel.reachable = true;
    passageOf(all).passage.start(encodeHead({ http: bytes("GET /d HTTP/1.1\r\n") }));
    const order = all.tunnel.streams.map((stream) => stream.opening.slice(4, 6)).join("");
    expect(order).toBe("/a/b/c/d");
    for (const { passage } of requests) passage.cancel("cancelled");
  });
});

describe("a request that no agent has looked at", () => {
  test("goes on another stream, the same as before", () => {
    const all = new HoldSetUp();
    all.agentComes();
    const { ear, passage } = passageOf(all);
    passage.start(opening);
    expect(passage.write(bytes("abc"))).toBe(true);
    all.tunnel.last.fails("unprocessed");
    expect(ear.heard).toEqual(["writable"]);
    passage.write(bytes("def"));
    passage.sendEnd();
    passage.sendEnd();
    all.tunnel.last.fails("unprocessed");
    const [first, , last] = all.tunnel.streams;
    expect(last?.opening).toBe(first?.opening ?? "");
    expect([last?.body, last?.said]).toEqual(["abcdef", ["END"]]);
    expect(all.metrics.streamsOpen).toBe(1);
    passage.cancel("cancelled");
    expect(last?.resetCode).toBe("cancelled");
    expectNothingLeft(all);
  });

  test("waits where there is none", () => {
    const all = new HoldSetUp();
    all.agentComes();
    const { ear, passage } = passageOf(all);
    passage.start(opening);
    passage.write(bytes("abc"));
    all.agentLeaves();
    all.tunnel.last.fails("unprocessed");
    expect([passage.waits, passage.opened, all.metrics.streamsOpen]).toEqual([true, false, 0]);
    expect(passage.write(bytes("def"))).toBe(false);
    all.agentComes();
    expect(all.tunnel.last.body).toBe("abcdef");
    expect(ear.heard).toEqual(["writable"]);
    passage.cancel("cancelled");
    expectNothingLeft(all);
  });

  test("is given up after so many streams", () => {
    const all = new HoldSetUp();
    all.agentComes();
    const { ear, passage } = passageOf(all);
    passage.start(opening);
    for (let i = 0; i <= passageLimits.maxRetries; i++) all.tunnel.last.fails("unprocessed");
    expect(all.tunnel.streams.length).toBe(1 + passageLimits.maxRetries);
    expect(ear.heard.at(-1)).toBe("agent-offline");
    expectNothingLeft(all);
  });

  test("is given up when more came of it than is kept, or when too much is kept in all", () => {
    for (const limits of [{}, { maxUnderWayBytes: 500 }]) {
      const all = new HoldSetUp(limits);
      all.agentComes();
      const { ear, passage } = passageOf(all);
      passage.start(opening);
      const piece = new Uint8Array(400);
      const pieces = "maxUnderWayBytes" in limits ? 2 : Math.ceil(passageLimits.maxKeptBytes / 400);
      for (let i = 0; i < pieces; i++) expect(passage.write(piece)).toBe(true);
      expect(all.hold.heldBytes).toBe(0);
      all.tunnel.last.fails("unprocessed");
      expect([ear.heard, all.tunnel.streams.length]).toEqual([["agent-offline"], 1]);
      expectNothingLeft(all);
    }
  });

  test("crumbs of a body count for more than their bytes", () => {
    const all = new HoldSetUp();
    all.agentComes();
    const { passage } = passageOf(all);
    passage.start(opening);
    for (let i = 0; i < 2_000; i++) passage.write(bytes("x"));
    expect(all.hold.heldBytes).toBe(0);
    passage.cancel("cancelled");
  });

  test("a visitor who was stopped for the stream before goes on, unless the new one is full too", () => {
    const all = new HoldSetUp();
    all.agentComes();
    const { ear, passage } = passageOf(all);
    passage.start(opening);
    all.tunnel.last.highBytes = 2;
    expect(passage.write(bytes("abc"))).toBe(false);
    all.tunnel.nextHighBytes = 2;
    all.tunnel.last.fails("unprocessed");
    expect(ear.heard).toEqual([]);
    all.tunnel.last.handler.writable();
    expect(ear.heard).toEqual(["writable"]);
    passage.cancel("cancelled");
  });
});

test("with any word of the agent, and for any other code, a request is not sent again", () => {
  const codes: Code[] = ["link-lost", "too-many-streams", "going-away", "stream-failed", "no-error"];
  for (const code of codes) {
    const all = new HoldSetUp();
    all.agentComes();
    const { ear, passage } = passageOf(all);
    passage.start(opening);
    all.tunnel.last.fails(code);
    expect([ear.heard, all.tunnel.streams.length]).toEqual([[code], 1]);
    expectNothingLeft(all);
  }
  const all = new HoldSetUp();
  all.agentComes();
  const { ear, passage } = passageOf(all);
  passage.start(opening);
  all.tunnel.last.handler.head(new Uint8Array(0));
  expectNothingLeft(all);
  // Against the rules; but it would be sent twice.
  all.tunnel.last.fails("unprocessed");
  expect([ear.heard, all.tunnel.streams.length]).toEqual([["head", "unprocessed"], 1]);
});

/** What may happen to requests; numbers choose which. */
const deed = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("request" as const) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("body" as const),
      at: fc.nat(20),
      length: fc.integer({ min: 1, max: 90 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("end" as const), at: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("left" as const), at: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("gone" as const), at: fc.nat(20) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("unprocessed" as const), at: fc.nat(20) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("answer" as const), at: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("lost" as const), at: fc.nat(20) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("agent" as const), room: fc.nat(4) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("away" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("bye" as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("pass" as const), ms: fc.nat(4_000) }) },
);

class Request {
  readonly ear = new Ear();
  readonly passage: Passage;
  body = "";
  said: string[] = [];
  gone = false;
  constructor(
    readonly id: number,
    all: HoldSetUp,
  ) {
    this.passage = new Passage(all.deps, all.way(), this.ear);
  }
  get over(): boolean {
    return this.gone || this.ear.heard.some((what) => what !== "writable");
  }
}

test("whatever happens, a request is looked at once at most, whole and in order, and nothing is left of it", () => {
  const seen = { answered: 0, again: 0, refused: 0, waited: 0 };
  fc.assert(
    fc.property(fc.array(deed, { minLength: 20, maxLength: 80 }), (deeds) => {
      const all = new HoldSetUp();
      const { tunnel, clock } = all;
      const requests: Request[] = [];
      const fates = new Map<OpenedStream, "unprocessed" | "looked-at">();
      const streamsOf = ({ id }: Request) =>
        tunnel.streams.filter(({ opening: head }) => head.includes(`/${id}/`));
      const checkStreams = () => {
        for (const request of requests) {
          const streams = streamsOf(request);
          expect(streams.length).toBeLessThanOrEqual(1 + passageLimits.maxRetries);
          for (const stream of streams.slice(0, -1)) expect(fates.get(stream) === "unprocessed").toBe(true);
          const last = streams.at(-1);
          if (last === undefined || request.over) continue;
          // The present stream has all of it, or there is none, and then it waits.
          if (last.closed) expect(request.passage.waits).toBe(true);
          else
            expect({ body: last.body, said: last.said }).toEqual({ body: request.body, said: request.said });
        }
        expect(all.metrics.streamsOpen).toBe(requests.filter(({ passage }) => passage.opened).length);
      };
      const begin = () => {
        const request = new Request(requests.length, all);
        const http = bytes(`GET /${request.id}/ HTTP/1.1\r\n`);
        if (request.passage.start(encodeHead({ http })) !== undefined) {
          seen.refused++;
          return;
        }
        if (request.passage.waits) seen.waited++;
        requests.push(request);
      };
      for (const what of deeds) {
        if (what.kind === "request") begin();
        else if (what.kind === "pass") clock.advance(what.ms);
        else if (what.kind === "agent") {
          tunnel.expected = true;
          all.agentComes(what.room);
        } else if (what.kind === "away") all.agentLeaves();
        else if (what.kind === "bye") all.agentSaysBye();
        else {
          const under = requests.filter((request) => !request.over);
          const request = under[what.at % Math.max(1, under.length)];
          if (request === undefined) continue;
          const stream = streamsOf(request).at(-1);
          const ended = request.said.length > 0;
          if (what.kind === "body" && !ended) {
            const text = String.fromCharCode(97 + (request.body.length % 26)).repeat(what.length);
            request.body += text;
            request.passage.write(bytes(text));
          } else if (what.kind === "end" && !ended) {
            request.said.push("END");
            request.passage.sendEnd();
          } else if (what.kind === "left" && request.said.length === 1) {
            request.said.push("LEFT");
            request.passage.sendLeft();
          } else if (what.kind === "gone") {
            request.passage.cancel("cancelled");
            request.gone = true;
            expect(request.passage.closed).toBe(true);
          } else if (stream?.closed === false) {
            if (what.kind === "unprocessed") {
              fates.set(stream, "unprocessed");
              seen.again++;
              stream.fails("unprocessed");
            } else if (what.kind === "answer" || what.kind === "lost") {
              fates.set(stream, "looked-at");
              if (what.kind === "lost") stream.fails("link-lost");
              else {
                seen.answered++;
                expect(stream.body).toBe(request.body);
                stream.answers("");
              }
            }
          }
        }
        checkStreams();
      }
      all.agentSaysBye();
      for (const request of requests) {
        if (request.over) continue;
        const stream = streamsOf(request).at(-1);
        if (stream?.closed === false) stream.answers("x");
      }
      expect(requests.every((request) => request.over)).toBe(true);
      for (const { ear } of requests) {
        const ends = ear.heard.filter((what) => what !== "writable" && what !== "head" && what !== "data");
        expect(ends.length).toBeLessThanOrEqual(1);
      }
      expectNothingLeft(all);
    }),
    { numRuns: 500 },
  );
  for (const count of Object.values(seen)) expect(count).toBeGreaterThan(100);
});
