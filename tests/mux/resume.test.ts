import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { limits } from "../../shared/mux/limits.ts";
import { encodeMessage, type OracleRecord } from "../oracle/codec.ts";
import type { OracleResumption } from "../oracle/numbers.ts";
import { OracleSession } from "../oracle/session.ts";
import { Moving, type Step } from "./moving.ts";

const side = fc.constantFrom("agent" as const, "relay");
const pick = fc.nat(1_000);
const size = fc.oneof(fc.nat(300), fc.nat(20_000), fc.nat(150_000));
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant("open" as const), side, slow: fc.boolean() }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constantFrom("write" as const, "take"), side, pick, size }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("end" as const, "reset"), side, pick }) },
  {
    weight: 14,
    arbitrary: fc.record({
      do: fc.constantFrom("poll" as const, "deliver"),
      side,
      times: fc.integer({ min: 1, max: 6 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.nat(60) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom("hello" as const, "welcome") }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("cut" as const, "answer", "give up") }) },
);
const moves = fc.array(step, { minLength: 1, maxLength: 240, size: "max" });
/** One in three has a side that leaves at some point, and takes no new streams from there. */
const steps = fc
  .tuple(moves, fc.nat(2), side, moves)
  .map(([before, leaves, who, after]): Step[] =>
    leaves > 0 ? before : [...before, { do: "drain", side: who }, ...after],
  );

describe("a session that moves from link to link", () => {
  test("delivers every byte in order, and comes to rest, wherever links are cut and attempts are given up", () => {
    fc.assert(
      fc.property(steps, (script) => {
        const moving = new Moving();
        for (const one of script) moving.run(one);
        moving.windUp();
        expect(moving.faults()).toEqual([]);
      }),
      { seed: 20_261_121, numRuns: 400, endOnFailure: true, includeErrorInReport: true },
    );
  });

  test("the schedules reach what they are for", () => {
    const reached = new Map<string, number>();
    for (const script of fc.sample(steps, { seed: 7, numRuns: 100 })) {
      const moving = new Moving(reached);
      for (const one of script) moving.run(one);
      moving.windUp();
    }
    const wanted = [
      "resumed",
      "sent again",
      "received before",
      "an ACK overtook the HELLO",
      "CREDIT restated",
      "GOAWAY restated",
      "an answer that was lost",
    ];
    expect(wanted.filter((what) => (reached.get(what) ?? 0) < 10)).toEqual([]);
  });
});

describe("the oracle, the judge of a resume, finds", () => {
  const window = limits.minWindowBytes;
  const open: OracleRecord = { record: "OPEN", stream: 2, kind: 1, head: "" };
  const data = (bytes: string): OracleRecord => ({ record: "DATA", stream: 2, bytes });
  const credit: OracleRecord = { record: "CREDIT", limits: [{ stream: 2, limit: window + 20_000 }] };
  const drain: OracleRecord = {
    record: "GOAWAY",
    kind: "drain",
    code: "going-away",
    lastStream: 0,
    graceMs: 30_000,
    reason: "",
  };
  const send = (oracle: OracleSession, ...records: OracleRecord[]) => oracle.sent(encodeMessage(records));
  const receive = (oracle: OracleSession, ...records: OracleRecord[]) =>
    oracle.receive(encodeMessage(records));

  /** A relay that has sent messages 1 to 3, received 1, and had an ACK of 1; without a link. */
  function relay(): OracleSession {
    const oracle = new OracleSession({ side: "relay", window, streams: 8 });
    send(oracle, open);
    send(oracle, { record: "ACK", count: 0 }, data("61"));
    send(oracle, data("62"));
    receive(oracle, { record: "ACK", count: 1 }, data("63"));
    send(oracle, credit);
    oracle.suspend();
    return oracle;
  }
  const resumed = (peerReceived = 1, change: Partial<OracleResumption> = {}): OracleSession => {
    const oracle = relay();
    const first = Math.max(peerReceived, 1) + 1;
    expect(oracle.resume({ peerReceived, told: 1, first, ...change })).toBeUndefined();
    return oracle;
  };

  test("nothing wrong in what the page asks for", () => {
    const oracle = resumed();
    expect(oracle.owed).toEqual(["CREDIT of stream 2 to 85536", "message 2"]);
    send(oracle, credit);
    send(oracle, data("61"));
    expect(oracle.owed).toEqual(["message 3"]);
    receive(oracle, { record: "ACK", count: 3 });
    expect(oracle.owed).toEqual([]);
    send(oracle, data("64"));
    expect([oracle.sentCount, oracle.received, oracle.ackedByPeer]).toEqual([4, 1, 3]);
  });

  test.each<[string, (oracle: OracleSession) => void]>([
    ["a message that is left out", (oracle) => send(oracle, data("62"))],
    ["a message that is another", (oracle) => send(oracle, data("6161"))],
    [
      "a control record in one that is sent again",
      (oracle) => send(oracle, { record: "ACK", count: 1 }, data("61")),
    ],
    ["an acknowledged message that is sent again", (oracle) => send(oracle, open)],
    [
      "a new message before all is sent again",
      (oracle) => {
        send(oracle, data("61"));
        send(oracle, data("64"));
      },
    ],
  ])("%s", (_, wrong) => {
    const oracle = resumed();
    send(oracle, credit);
    expect(() => wrong(oracle)).toThrow(/sent again/);
  });

  test("a message that is sent twice", () => {
    const oracle = resumed(2);
    send(oracle, credit);
    send(oracle, data("62"));
    send(oracle, data("62"));
    // It counts as a new one: that the peer gets its bytes twice is the peer's oracle's to see.
    expect(oracle.sentCount).toBe(4);
  });

  test("CREDIT and GOAWAY that are not said again", () => {
    for (const next of [credit, data("63")]) {
      const late = resumed(3);
      send(late, { record: "END", stream: 4 });
      expect(() => send(late, next)).toThrow(/CREDIT of stream 2 that was owed/);
    }
    const oracle = relay();
    oracle.resume({ peerReceived: 3, told: 1, first: 4 });
    send(oracle, credit, drain);
    oracle.suspend();
    oracle.resume({ peerReceived: 3, told: 1, first: 4 });
    expect(oracle.owed).toEqual(["CREDIT of stream 2 to 85536", "GOAWAY"]);
    const lower: OracleRecord = { record: "CREDIT", limits: [{ stream: 2, limit: window + 1 }] };
    send(oracle, lower);
    expect(() => send(oracle, { ...drain, graceMs: 30_001 } as OracleRecord)).toThrow(/another GOAWAY/);
    send(oracle, { ...drain, graceMs: 10_000 } as OracleRecord);
    expect(oracle.owed).toEqual(["CREDIT of stream 2 to 85536"]);
    oracle.suspend();
    oracle.resume({ peerReceived: 3, told: 1, first: 4 });
    send(oracle, credit);
    expect(() => send(oracle, data("63"))).toThrow(/before the GOAWAY/);
  });

  test("no fault in CREDIT that is not said again for a stream whose RESET waits", () => {
    const oracle = resumed();
    for (const again of ["61", "62"]) send(oracle, data(again));
    send(oracle, { record: "RESET", stream: 2, code: "cancelled" });
    expect(oracle.owed).toEqual([]);
  });

  test("what is sent without a link, and takes in nothing then", () => {
    const oracle = relay();
    expect(receive(oracle, data("65"))).toEqual([]);
    expect(oracle.received).toBe(1);
    expect(() => send(oracle, data("61"))).toThrow(/no link/);
  });

  test("counts that can't be, said by this side or by the other", () => {
    expect(relay().resume({ peerReceived: 4, told: 1, first: 5 })).toBe("protocol-error");
    expect(() => relay().resume({ peerReceived: 1, told: 0, first: 2 })).toThrow(/own count/);
    expect(() => relay().resume({ peerReceived: 0, told: 1, first: 1 })).toThrow(/begin/);
    const agent = () => {
      const oracle = new OracleSession({ side: "agent", window, streams: 8 });
      for (const record of [open, data("61"), data("62")]) receive(oracle, record);
      send(oracle, data("63"));
      send(oracle, data("64"));
      receive(oracle, { record: "ACK", count: 1 });
      oracle.suspend();
      return oracle;
    };
    // HELLO said 2, and message 3 came on the old link after.
    for (const [peerReceived, first, fault] of [
      [1, 3, undefined],
      [2, 4, undefined],
      [0, 3, "protocol-error"],
      [3, 3, "protocol-error"],
      [1, 2, "protocol-error"],
      [1, 5, "protocol-error"],
    ] as const)
      expect(agent().resume({ peerReceived, told: 2, first })).toBe(fault);
  });

  test("that what came before is not to be read again, but for its control records", () => {
    const oracle = new OracleSession({ side: "agent", window, streams: 8 });
    receive(oracle, open);
    receive(oracle, data("61"));
    oracle.suspend();
    oracle.resume({ peerReceived: 0, told: 1, first: 2 });
    expect(receive(oracle, { record: "DOUBT", slot: 3 }, data("61"))).toEqual([
      { verdict: "deliver", record: { record: "DOUBT", slot: 3 } },
    ]);
    expect(oracle.received).toBe(2);
    expect(receive(oracle, data("62"))).toEqual([{ verdict: "deliver", record: data("62") }]);
    expect(oracle.received).toBe(3);
  });
});
