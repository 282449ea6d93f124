import { describe, expect, test } from "bun:test";
import { readLinkHead } from "../../relay/cluster/link-head.ts";
import { PassedLinks, takePassedLink } from "../../relay/cluster/passed-links.ts";
import { writeHello } from "../../shared/handshake.ts";
import { encodeHead } from "../../shared/head.ts";
import { encodeLatin1 } from "../../shared/http1/latin1.ts";
import { closePart, encodeParts, type Part, PartType } from "../../shared/links/parts.ts";
import { limits } from "../../shared/mux/limits.ts";
import { Memory } from "../../shared/mux/memory.ts";
import { VirtualClock } from "../agent/virtual-clock.ts";
import { FakeStream } from "../origins/fake-stream.ts";
import { Caller, Desk, helloOf } from "../relay/reception-desk.ts";
import { turn } from "../shared/driver-bench.ts";
import { FakeLink } from "../shared/fake-link.ts";

const none = new Uint8Array(0);
const binary = (bytes: Uint8Array): Part => ({ type: PartType.binary, bytes });
const text = (value: string): Part => ({ type: PartType.text, bytes: new TextEncoder().encode(value) });
const claims = {
  ...{ issuer: "underpass", subject: "me", kinds: ["http" as const], connect: [], egress: [] },
  ...{ issuedAtMs: 1_000, expiresAtMs: 2_000 },
};
const session = "bbbbbbbbsession";
const admission = { name: "blue", kind: "http" as const, session, claims, elsewhere: "bbbbbbbb" };

/** A link that was passed on, where the test is the agent and the other relay. */
function passed({ memory = new Memory(2 ** 26) } = {}) {
  const clock = new VirtualClock();
  const link = new FakeLink();
  const stream = new FakeStream();
  const asked: { id: string; kind: number; fields: Uint8Array }[] = [];
  const links = new PassedLinks({
    ...{ clock, memory },
    open: (id, kind, fields) => {
      asked.push({ id, kind, fields });
      return stream.stream;
    },
  });
  let gone = 0;
  links.pass(link, admission, () => gone++);
  return {
    ...{ clock, link, stream, links, asked },
    said: () => encodeLatin1(stream.body),
    takes: () => stream.handler.head(none),
    says: (...all: Part[]) => stream.handler.data(encodeParts(none, all)),
    get gone() {
      return gone;
    },
  };
}

describe("an agent's link that is passed on", () => {
  test("asks the relay that has the session, by what was checked here", () => {
    const { asked } = passed();
    expect(asked.map(({ id, kind, fields }) => [id, kind, readLinkHead(fields)])).toEqual([
      ["bbbbbbbb", 2, { name: "blue", kind: "http", session, claims }],
    ]);
  });

  test("says there what is said here, and here what is said there", () => {
    const { link, takes, says, said } = passed();
    link.comes(new Uint8Array([1, 2]));
    takes();
    link.says("ping");
    says(binary(new Uint8Array([3])), text("pong"));
    expect(said()).toEqual(encodeParts(none, [binary(new Uint8Array([1, 2])), text("ping")]));
    expect([link.messages, link.texts]).toEqual([[new Uint8Array([3])], ["pong"]]);
  });

  test("gives no credit for what waits for the agent, until that has gone", () => {
    const { link, stream, takes, says } = passed();
    takes();
    link.queued = 90_000;
    says(binary(new Uint8Array(10)));
    expect(stream.heldBytes).toBe(90_000);
    link.queued = 20_000;
    link.handler.drained();
    expect(stream.heldBytes).toBe(20_000);
    link.queued = 0;
    link.handler.drained();
    expect(stream.heldBytes).toBe(0);
  });

  test("is refused when so many are that visitors might find no stream left", () => {
    const { links } = passed();
    for (let more = 1; more < limits.maxStreams / 2; more++) links.pass(new FakeLink(), admission, () => {});
    const late = new FakeLink();
    links.pass(late, admission, () => {});
    expect([links.size, new Caller(late).refusal]).toEqual([limits.maxStreams / 2, "session-elsewhere"]);
  });

  test("is refused when such links have half of the memory, and little is left", () => {
    const memory = new Memory(16 * limits.initialWindowBytes);
    const { links } = passed({ memory });
    for (let more = 1; more < 8; more++) {
      links.pass(new FakeLink(), admission, () => {});
      memory.admit(limits.initialWindowBytes);
    }
    memory.admit(limits.initialWindowBytes);
    const late = new FakeLink();
    links.pass(late, admission, () => {});
    expect(new Caller(late).refusal).toBe("session-elsewhere");
  });

  test("is dropped when more waits for the other relay than any agent leaves unacknowledged", () => {
    const { link, stream } = passed();
    stream.queued = limits.maxFlightBytes;
    link.comes(new Uint8Array(65_536));
    expect(link.ended).toBeUndefined();
    stream.queued += 2 * limits.maxPendingDatagramBytes;
    link.comes(new Uint8Array(1));
    expect(link.ended).toBe("destroy");
  });

  test("may have little waiting where memory is scarce", () => {
    const memory = new Memory(2 ** 26, { besideBytes: 1_000 });
    const { link, stream } = passed({ memory });
    stream.queued = limits.minFlightBytes;
    link.comes(new Uint8Array(10));
    memory.beside.add(1_000);
    link.says("ping");
    expect(link.ended).toBeUndefined();
    stream.queued += 65_536;
    link.says("ping");
    expect(link.ended).toBe("destroy");
  });

  test("that the other relay does not take is refused: the agent is to try again", async () => {
    for (const refusal of ["too-many-streams", "link-lost", "unprocessed"] as const) {
      const it = passed();
      it.stream.handler.reset(refusal);
      expect([new Caller(it.link).refusal, it.link.ended]).toEqual([
        "session-elsewhere",
        "close 1013 session-elsewhere",
      ]);
      it.link.breaks();
      await turn();
      expect([it.gone, it.links.size]).toEqual([1, 0]);
    }
  });

  test("for which no stream is to be had is refused alike", () => {
    const links = new PassedLinks({
      ...{ clock: new VirtualClock(), memory: new Memory(2 ** 26), open: () => undefined },
    });
    const link = new FakeLink();
    let gone = 0;
    links.pass(link, admission, () => gone++);
    expect([new Caller(link).refusal, links.size, gone]).toEqual(["session-elsewhere", 0, 0]);
    link.breaks();
    expect(gone).toBe(1);
  });

  test("breaks where the stream does, without a word: the session goes on", () => {
    const { link, stream, takes, says } = passed();
    takes();
    says(binary(new Uint8Array([3])));
    stream.handler.reset("link-lost");
    expect([link.ended, link.messages.length]).toEqual(["destroy", 1]);
  });

  test("breaks there when it breaks here, and is counted until then", async () => {
    const it = passed();
    it.takes();
    expect([it.gone, it.links.size]).toEqual([0, 1]);
    it.link.breaks();
    await turn();
    expect([it.stream.resetCode, it.gone, it.links.size]).toEqual(["cancelled", 1, 0]);
  });

  test("closes on either side as it was closed on the other", () => {
    const there = passed();
    there.takes();
    there.says(binary(none), closePart(1008, "session-gone"));
    there.stream.handler.end();
    expect([there.link.ended, there.link.messages.length]).toEqual(["close 1008 session-gone", 1]);
    const here = passed();
    here.takes();
    here.link.handler.closed(1000, "goodbye");
    expect(here.said()).toEqual(encodeParts(none, [closePart(1000, "goodbye")]));
    expect([here.stream.ended, here.gone]).toEqual([true, 1]);
  });

  test("is closed when the relay ends", () => {
    const it = passed();
    it.takes();
    it.links.close();
    expect([it.link.ended, it.stream.ended]).toEqual(["close 1001 going-away", true]);
    it.link.breaks();
    expect([it.gone, it.links.size]).toEqual([1, 0]);
  });
});

describe("a link that another relay passes on", () => {
  const facts = { name: "blue", kind: "http", session, claims };
  const fieldsOf = (value: unknown): Uint8Array => {
    const json = new TextEncoder().encode(JSON.stringify(value));
    return new Uint8Array([6, json.length >> 8, json.length & 0xff, ...json]);
  };

  test("is taken at once, for that session alone", () => {
    const stream = new FakeStream();
    const heads: Uint8Array[] = [];
    stream.head = (fields) => void heads.push(fields);
    const taken = takePassedLink(stream.stream, fieldsOf(facts), new VirtualClock());
    expect([taken?.admission, heads, stream.closed]).toEqual([
      { ...facts, passedOn: true },
      [new Uint8Array(0)],
      false,
    ] as never);
    expect(taken?.receiver).toBe(stream.handler);
  });

  test("with a head that is not valid is reset", () => {
    for (const fields of [none, encodeHead({ target: "a:1" }), fieldsOf({ ...facts, claims: {} })]) {
      const stream = new FakeStream();
      expect(takePassedLink(stream.stream, fields, new VirtualClock())).toBeUndefined();
      expect(stream.resetCode).toBe("head-invalid");
    }
  });

  test("is told that the session is gone, where it is: a fresh one begins where the agent dialled", async () => {
    const desk = new Desk();
    const first = await desk.call();
    const { session: id } = first.welcome;
    const resume = { session: id, proof: "A".repeat(43) };
    const says = (path: string, facts: Parameters<typeof helloOf>[0]) => {
      const caller = new Caller();
      desk.reception.receive(caller.link, {
        ...{ name: "blue", kind: "http", claims: { ...claims, expiresAtMs: desk.clock.date() + 3_600_000 } },
        ...{ session: path, passedOn: true },
      });
      caller.link.comes(writeHello(helloOf({ attempt: 2, ...facts })));
      return caller.refusal;
    };
    expect(says(id, { resume })).toBe("proof-invalid");
    expect(says("gone", { resume: { ...resume, session: "gone" } })).toBe("session-gone");
    expect(says(id, {})).toBe("protocol-error");
    expect(first.link.ended).toBeUndefined();
  });
});

describe("a relay to which a link for another's session is dialled", () => {
  /** Where sessions are by the first letter of their ids: a is here, b is another relay, u one that can't be reached. */
  function clustered(options: { readonly maxLinks?: number } = {}) {
    const passedOn: [FakeLink, string, () => void][] = [];
    const desk = new Desk({
      ...options,
      cluster: {
        elsewhere: (id) => ({ b: "bbbbbbbb", u: "unreachable" })[id[0] ?? ""],
        passOn: (link, { elsewhere }, gone) => void passedOn.push([link as FakeLink, elsewhere, gone]),
      },
    });
    return { desk, passedOn };
  }

  test("passes it on, and counts it until it is gone", async () => {
    const { desk, passedOn } = clustered();
    const [caller, { elsewhere }] = await desk.dial({ path: "b1" });
    expect([elsewhere, passedOn.map(([link, to]) => [link === caller.link, to])]).toEqual([
      "bbbbbbbb",
      [[true, "bbbbbbbb"]],
    ]);
    expect([desk.metrics.links, desk.names.lookup("blue")]).toEqual([1, undefined]);
    passedOn[0]?.[2]();
    expect(desk.metrics.links).toBe(0);
  });

  test("does so while it drains, when nobody new is let in", async () => {
    const { desk, passedOn } = clustered();
    desk.draining = true;
    await desk.dial({ path: "b1" });
    expect(passedOn.length).toBe(1);
    expect(await desk.refusalOf(desk.dial({ path: "a1" }))).toBe("going-away");
  });

  test("asks nothing of the name, which is the other relay's business", async () => {
    const { desk, passedOn } = clustered();
    await desk.call({ token: "somebody" });
    await desk.dial({ path: "b1", token: "me" });
    expect(passedOn.length).toBe(1);
    expect(await desk.refusalOf(desk.dial({ path: "a1", token: "me" }))).toBe("name-taken");
  });

  test("refuses it for now where the other can't be reached", async () => {
    const { desk } = clustered();
    expect(await desk.refusalOf(desk.dial({ path: "u1" }))).toBe("session-elsewhere");
  });

  test("wants the credential first", async () => {
    const { desk } = clustered();
    const place = { name: "blue", kind: "http" as const };
    for (const id of ["b1", "u1"]) {
      const dial = desk.reception.admit({ ...place, session: id }, undefined);
      expect(await desk.refusalOf(dial)).toBe("unauthorized");
    }
  });

  test("takes no more links than it may", async () => {
    const { desk } = clustered({ maxLinks: 2 });
    await desk.dial({ path: "b1" });
    await desk.dial({ path: "b2" });
    expect(await desk.refusalOf(desk.dial({ path: "b3" }))).toBe("too-many-links");
  });

  test("answers for a session whose relay is dead: it is gone", async () => {
    const { desk, passedOn } = clustered();
    const caller = await desk.call({ resume: { session: "x1", proof: "A".repeat(43) }, attempt: 2 });
    expect([caller.welcome.resumed, passedOn.length]).toEqual([false, 0]);
  });
});
