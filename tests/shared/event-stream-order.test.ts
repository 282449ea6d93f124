import { expect, test } from "bun:test";
import fc from "fast-check";
import { eventStreamLimits } from "../../shared/links/event-stream-limits.ts";
import { type OrderedBody, type Outcome, PostOrder } from "../../shared/links/event-stream-order.ts";

/** Takes in bodies and records what came of them. */
class Intake {
  text = "";
  held = 0;
  mostHeld = 0;
  completes = 0;
  /** The bodies after which the order is to find fault. */
  refuses = Number.POSITIVE_INFINITY;
  readonly order: PostOrder = new PostOrder({
    bytes: (bytes) => {
      this.text += new TextDecoder().decode(bytes);
      return true;
    },
    complete: () => ++this.completes <= this.refuses,
    held: (bytes) => {
      this.held += bytes;
      this.mostHeld = Math.max(this.mostHeld, this.held);
    },
  });
  readonly outcomes: [number, Outcome][] = [];

  begin(number: number): OrderedBody {
    const body = this.order.begin(number);
    if (body === undefined) throw new Error("too far ahead");
    return body;
  }
  post(number: number, text: string): void {
    const body = this.begin(number);
    for (const char of text) expect(body.push(new TextEncoder().encode(char))).toBe(true);
    this.end(number, body);
  }
  end(number: number, body: OrderedBody): void {
    body.end((outcome) => void this.outcomes.push([number, outcome]));
  }
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test("POSTs that overtake wait for their turn, and are answered only then", () => {
  const intake = new Intake();
  intake.post(3, "ccc");
  intake.post(2, "bb");
  expect([intake.text, intake.held, intake.outcomes, intake.order.waits]).toEqual(["", 5, [], true]);
  intake.post(1, "a");
  expect([intake.text, intake.held, intake.order.waits]).toEqual(["abbccc", 0, false]);
  expect(intake.outcomes).toEqual([
    [1, "taken"],
    [2, "taken"],
    [3, "taken"],
  ]);
});

test("what was taken in is answered again and not read again", () => {
  const intake = new Intake();
  intake.post(1, "a");
  intake.post(1, "a");
  intake.post(2, "b");
  intake.post(1, "a");
  expect(intake.text).toBe("ab");
  expect(intake.outcomes.map(([number]) => number)).toEqual([1, 1, 2, 1]);
});

test("the POST whose turn it is goes on as it comes; one that broke off goes on where it was", () => {
  const intake = new Intake();
  intake.begin(1).push(bytes("abc"));
  expect(intake.text).toBe("abc");
  const again = intake.begin(1);
  again.push(bytes("ab"));
  expect(intake.text).toBe("abc");
  again.push(bytes("cde"));
  expect(intake.text).toBe("abcde");
  intake.end(1, again);
  expect(intake.outcomes).toEqual([[1, "taken"]]);
});

test("the same POST on two sockets at once is read once", () => {
  const intake = new Intake();
  const [one, two] = [intake.begin(2), intake.begin(2)];
  one.push(bytes("xy"));
  two.push(bytes("xyz"));
  one.push(bytes("z!"));
  expect(intake.held).toBe(4);
  two.push(bytes("!"));
  intake.end(2, two);
  intake.end(2, one);
  intake.post(1, "a");
  expect([intake.text, intake.held]).toEqual(["axyz!", 0]);
  expect(intake.outcomes).toEqual([
    [1, "taken"],
    [2, "taken"],
    [2, "taken"],
  ]);
  expect(intake.completes).toBe(2);
});

test("a number may be four ahead of what was taken in, and no more", () => {
  const intake = new Intake();
  const { maxPosts } = eventStreamLimits;
  expect(intake.order.begin(maxPosts)).toBeDefined();
  expect(intake.order.begin(maxPosts + 1)).toBeUndefined();
  expect(intake.order.begin(Number.POSITIVE_INFINITY)).toBeUndefined();
  intake.post(1, "a");
  expect(intake.order.begin(maxPosts + 1)).toBeDefined();
});

test("a body may be as large as the limit and no larger, also one that is not read", () => {
  const { maxPostBytes } = eventStreamLimits;
  for (const number of [1, 2]) {
    const intake = new Intake();
    intake.post(1, "a");
    const body = intake.begin(number);
    expect(body.push(new Uint8Array(maxPostBytes))).toBe(true);
    expect(body.push(new Uint8Array(1))).toBe(false);
  }
});

test("a body that breaks a rule ends the order, and what waits is told", () => {
  const intake = new Intake();
  intake.refuses = 1;
  intake.post(3, "c");
  intake.post(2, "b");
  intake.post(1, "a");
  expect(intake.text).toBe("ab");
  expect(intake.outcomes).toEqual([
    [1, "taken"],
    [3, "invalid"],
    [2, "invalid"],
  ]);
  expect(intake.held).toBe(0);
  intake.post(2, "b");
  expect(intake.outcomes.at(-1)).toEqual([2, "invalid"]);
  expect(intake.text).toBe("ab");
});

test("one that waits is told once when the order ends, and holds nothing any more", () => {
  const intake = new Intake();
  intake.post(2, "bb");
  intake.order.end();
  intake.order.end();
  expect([intake.outcomes, intake.held]).toEqual([[[2, "invalid"]], 0]);
  intake.begin(2).push(bytes("bb"));
  expect(intake.held).toBe(0);
});

test("the same POST, whole again and again before its turn, is not kept without end", () => {
  const intake = new Intake();
  for (let i = 0; i <= eventStreamLimits.maxRepeats; i++) intake.post(2, "b");
  expect(intake.outcomes).toEqual([[2, "invalid"]]);
});

test("whatever is cut, repeated and overtaken on the way, each byte comes once and in order", () => {
  // An agent that sends up to four at once; each try may be cut anywhere, or lose its answer.
  const step = fc.record({
    pick: fc.nat({ max: 3 }),
    bytes: fc.nat({ max: 7 }),
    how: fc.constantFrom("go", "go", "go", "cut", "end", "end-unheard"),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const intake = new Intake();
      const bodies = Array.from({ length: 12 }, (_, i) =>
        `${String.fromCharCode(97 + i)}`.repeat(1 + ((i * 5) % 7)),
      );
      const answered = new Set<number>();
      const tries = new Map<number, { body: OrderedBody; at: number }>();
      const open = (): number[] =>
        bodies
          .map((_, i) => i + 1)
          .filter((n) => !answered.has(n))
          .slice(0, 4);
      const act = ({ pick, bytes: count, how }: { pick: number; bytes: number; how: string }): void => {
        const outstanding = open();
        const number = outstanding[pick % Math.max(1, outstanding.length)];
        if (number === undefined) return;
        const whole = bodies[number - 1] ?? "";
        const current = tries.get(number) ?? { body: intake.begin(number), at: 0 };
        tries.set(number, current);
        const part = how.startsWith("end")
          ? whole.slice(current.at)
          : whole.slice(current.at, current.at + count);
        if (part !== "") expect(current.body.push(bytes(part))).toBe(true);
        current.at += part.length;
        if (how === "cut") tries.delete(number);
        if (!how.startsWith("end")) return;
        tries.delete(number);
        current.body.end((outcome) => {
          expect(outcome).toBe("taken");
          if (how === "end") answered.add(number);
        });
      };
      for (const each of steps) act(each);
      for (let i = 0; i < 3 && answered.size < bodies.length; i++)
        for (let n = 0; n < bodies.length; n++) act({ pick: 0, bytes: 0, how: "end" });
      expect(intake.text).toBe(bodies.join(""));
      expect(intake.completes).toBe(bodies.length);
      expect(intake.held).toBe(0);
    }),
    { numRuns: 500 },
  );
});

test("what waits costs little more than its bytes, however small the pieces are in which it came", () => {
  const pieces: number[] = [];
  const order = new PostOrder({
    bytes: ({ buffer }) => pieces.push(buffer.byteLength) > 0,
    complete: () => true,
    held() {},
  });
  const second = order.begin(2);
  for (let i = 0; i < 100_000; i++)
    second?.push(new Uint8Array(65_536 * Number(i % 1_000 === 0) + 1).subarray(0, 1));
  second?.end(() => {});
  const first = order.begin(1);
  first?.end(() => {});
  expect(order.taken).toBe(2);
  expect(pieces.length).toBeLessThan(10);
  expect(pieces.reduce((sum, size) => sum + size, 0)).toBeLessThan(200_000);
});
