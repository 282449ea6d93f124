import { describe, test } from "bun:test";
import fc from "fast-check";
import { encodeMessage, type OracleRecord } from "../oracle/codec.ts";
import { unservedKind, Victim } from "./victim.ts";

/**
 * Where a record goes is chosen when it is sent, by what the oracle knows then: mostly an open stream, so that a
 * sequence gets somewhere, now and then an id that is closed, not opened yet, or wild. A number stands for the choice.
 */
const id = fc.nat(999_999);

interface Known {
  open: number[];
  /** The peer's first id, and the next that it may open. */
  first: number;
  next: number;
}

function resolve(choice: number, { open, first, next }: Known): number {
  const pick = Math.floor(choice / 100);
  const dice = choice % 100;
  if (dice < 90 && open.length > 0) return open[pick % open.length] ?? 0;
  if (dice < 99) return first + 2 * (pick % Math.max((next - first) / 2, 1));
  return [next, next - 1, 0, 0xffff_fffe, 0xffff_ffff, 3, 4][pick % 7] ?? 0;
}

/** Gives each record its id, and an ACK a count that was mostly sent. */
function aim(records: OracleRecord[], { oracle, side }: Victim): OracleRecord[] {
  const first = side === "agent" ? 2 : 1;
  const known: Known = { open: [...oracle.streams.keys()], first, next: first };
  const mayOpen = (id: number) => Math.min(Math.max(known.next, id + 2), 0xffff_fffe + (first % 2));
  if (oracle.highestOfPeer > 0) known.next = mayOpen(oracle.highestOfPeer);
  return records.map((record): OracleRecord => {
    switch (record.record) {
      case "OPEN": {
        const usual = Math.min(known.next + 2 * (record.stream % 2), 0xffff_ffff);
        const stream = record.stream % 100 < 99 ? usual : resolve(record.stream, known);
        known.next = mayOpen(stream);
        known.open.push(stream);
        return { ...record, stream };
      }
      case "ACK": {
        const count = record.count === 0 ? oracle.sentCount + 1 : oracle.sentCount % record.count;
        return { ...record, count };
      }
      case "CREDIT": {
        const limits = record.limits.map(({ stream, limit }) => ({ stream: resolve(stream, known), limit }));
        return { ...record, limits };
      }
      case "DATAGRAM":
        return { ...record, stream: resolve(record.stream, known) };
      default: {
        if (!("stream" in record)) return record;
        // Before anything is open, every frame would be the end.
        if (known.next === first) {
          known.next = mayOpen(first);
          known.open.push(first);
          return { record: "OPEN", stream: first, kind: 1, head: "" };
        }
        return { ...record, stream: resolve(record.stream, known) };
      }
    }
  });
}

const hex = fc
  .oneof({ weight: 10, arbitrary: fc.nat(8) }, { weight: 2, arbitrary: fc.nat(60_000) })
  .map((size) => "61".repeat(size));

const control: fc.Arbitrary<OracleRecord> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ record: fc.constant("ACK" as const), count: fc.nat(40) }) },
  {
    weight: 8,
    arbitrary: fc.record({
      record: fc.constant("CREDIT" as const),
      limits: fc.array(fc.record({ stream: id, limit: fc.nat(200_000) }), { minLength: 1, maxLength: 3 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ record: fc.constant("DATAGRAM" as const), stream: id, bytes: hex }) },
  {
    weight: 3,
    arbitrary: fc.constantFrom<OracleRecord>(
      { record: "unknown control", type: 0x07, bytes: "" },
      { record: "unknown control", type: 0x80, bytes: "" },
      { record: "unknown control", type: 0x99, bytes: "00" },
    ),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      record: fc.constant("GOAWAY" as const),
      kind: fc.constantFrom("drain" as const, "bye", "error"),
      code: fc.constantFrom("going-away" as const, "goodbye", "internal-error"),
      lastStream: fc.nat(8),
      graceMs: fc.nat(1_000),
      reason: fc.constantFrom("", "why"),
    }),
  },
);

const frame: fc.Arbitrary<OracleRecord> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      record: fc.constant("OPEN" as const),
      stream: id,
      kind: fc.constantFrom(1, 1, 1, 2, unservedKind),
      head: hex,
    }),
  },
  { weight: 3, arbitrary: fc.record({ record: fc.constant("HEAD" as const), stream: id, head: hex }) },
  { weight: 6, arbitrary: fc.record({ record: fc.constant("DATA" as const), stream: id, bytes: hex }) },
  { weight: 3, arbitrary: fc.record({ record: fc.constant("END" as const), stream: id }) },
  { weight: 1, arbitrary: fc.record({ record: fc.constant("LEFT" as const), stream: id }) },
  {
    weight: 2,
    arbitrary: fc.record({
      record: fc.constant("RESET" as const),
      stream: id,
      code: fc.constantFrom("no-error" as const, "cancelled", "stream-failed"),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      record: fc.constant("unknown frame" as const),
      stream: id,
      type: fc.constantFrom(0x46, 0xc0, 0xc1, 0xff),
      bytes: hex,
    }),
  },
);

type Mutation =
  | { kind: "none" }
  | { kind: "flip"; at: number; to: number }
  | { kind: "cut"; at: number }
  | { kind: "insert"; at: number; bytes: number[] }
  | { kind: "remove"; at: number };

const place = fc.nat(2_000);
const byte = fc.nat(255);
const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  { weight: 60, arbitrary: fc.constant<Mutation>({ kind: "none" }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("flip" as const), at: place, to: byte }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("cut" as const), at: place }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("insert" as const),
      at: place,
      bytes: fc.array(byte, { minLength: 1, maxLength: 8 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("remove" as const), at: place }) },
);

function mutate(bytes: Uint8Array, how: Mutation): Uint8Array {
  if (how.kind === "none") return bytes;
  const all = [...bytes];
  const at = how.at % Math.max(all.length, 1);
  if (how.kind === "flip") all[at] = how.to;
  else if (how.kind === "cut") all.length = at;
  else if (how.kind === "insert") all.splice(at, 0, ...how.bytes);
  else all.splice(at, 1);
  return Uint8Array.from(all);
}

/** What the victim's own side does between two messages. */
type Move =
  | { do: "nothing" | "open" }
  | { do: "write" | "end" | "reset" | "finish"; pick: number; size: number };

const move: fc.Arbitrary<Move> = fc.oneof(
  { weight: 6, arbitrary: fc.constant<Move>({ do: "nothing" }) },
  { weight: 2, arbitrary: fc.constant<Move>({ do: "open" }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom("write" as const, "end", "reset", "finish"),
      pick: fc.nat(20),
      size: fc.nat(5_000),
    }),
  },
);

function play(victim: Victim, step: Move): void {
  if (step.do === "open" && victim.mayOpen) victim.open();
  if (!("pick" in step)) return;
  const { pick, size } = step;
  const open = [...victim.streams.values()].filter((stream) => !stream.closed);
  const stream = open[pick % Math.max(open.length, 1)];
  if (stream === undefined) return;
  if (step.do === "write") stream.write(new Uint8Array(size));
  else if (step.do === "reset") stream.reset("cancelled");
  else stream.end();
  if (step.do === "finish") stream.reset("no-error");
  victim.flush();
}

const message = fc
  .tuple(fc.array(control, { maxLength: 2 }), fc.array(frame, { maxLength: 5 }))
  .map(([first, then]) => [...first, ...then]);
const attack = fc.tuple(message, mutation, move);

describe("whatever a peer sends, the session does what the oracle says", () => {
  test.each([
    ["and readers read", true],
    ["and readers don't", false],
  ] as [string, boolean][])("%s", (_, reads) => {
    fc.assert(
      fc.property(fc.array(attack, { minLength: 1, maxLength: 25 }), fc.boolean(), (attacks, isAgent) => {
        const victim = new Victim({ reads, streams: 4, side: isAgent ? "agent" : "relay" });
        for (const [records, how, step] of attacks) {
          victim.attack(mutate(encodeMessage(aim(records, victim)), how));
          if (victim.session.over) return;
          play(victim, step);
        }
      }),
      { seed: 20_261_121, numRuns: 1_000, endOnFailure: true, includeErrorInReport: true },
    );
  });

  test("bytes that are no records at all", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 5 }), (messages) => {
        const victim = new Victim();
        for (const bytes of messages) victim.attack(bytes);
      }),
      { seed: 20_261_121, numRuns: 1_000 },
    );
  });
});

/** The fuzz is worth little when most of it ends at the first fault: what it reaches is counted. */
test("the fuzz reaches what it is for", () => {
  const reached = new Map<string, number>();
  for (const attacks of fc.sample(fc.array(attack, { minLength: 5, maxLength: 25 }), {
    seed: 7,
    numRuns: 200,
  })) {
    const victim = new Victim({ reads: attacks.length % 2 === 0, streams: 4 });
    for (const [records, how, step] of attacks) {
      for (const answer of victim.attack(mutate(encodeMessage(aim(records, victim)), how))) {
        const what = answer.replace(/ \d+/, "");
        reached.set(what, (reached.get(what) ?? 0) + 1);
      }
      if (victim.session.over) break;
      play(victim, step);
    }
  }
  const wanted = [
    "goaway protocol-error",
    "goaway flow-control-error",
    "goaway record-unknown",
    "reset stream-state",
    "reset kind-unknown",
    "reset frame-unknown",
    "reset too-many-streams",
  ];
  const seldom = wanted.filter((what) => !reached.has(what));
  if (seldom.length > 0) throw new Error(`${seldom} are not reached: ${JSON.stringify([...reached])}`);
});
