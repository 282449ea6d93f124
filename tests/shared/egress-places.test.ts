import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Places } from "../../shared/egress/places.ts";

/** Takes a place for `owner`, and writes down when it got it. */
function taker(places: Places, order: string[]) {
  return (owner: string, name = owner) => places.take(owner, () => void order.push(name));
}

describe("places", () => {
  test("are given at once while there are some, and then to owners in turn", () => {
    const places = new Places(2, 2);
    const order: string[] = [];
    const take = taker(places, order);
    const [first, second] = [take("a", "a1"), take("a", "a2")];
    for (const name of ["a3", "a4", "b1", "c1", "b2"]) take(name[0] ?? "", name);
    expect(order).toEqual(["a1", "a2"]);
    first();
    second();
    expect(order).toEqual(["a1", "a2", "a3", "b1"]);
    expect(places.taken).toBe(2);
  });

  test("of one owner are no more than its share, and all who wait come to theirs", () => {
    const places = new Places(3, 2);
    const order: string[] = [];
    const take = taker(places, order);
    const gives = ["a1", "a2", "a3", "a4"].map((name) => take("a", name));
    expect(order).toEqual(["a1", "a2"]);
    gives.push(take("b"));
    expect(order).toEqual(["a1", "a2", "b"]);
    for (const give of gives) give();
    expect(order).toEqual(["a1", "a2", "b", "a3", "a4"]);
    expect(places.taken).toBe(0);
  });

  test("are given back once, and not taken by who gave up waiting", () => {
    const places = new Places(1, 1);
    const order: string[] = [];
    const take = taker(places, order);
    const first = take("a");
    const second = take("b");
    second();
    second();
    first();
    first();
    expect([places.taken, order]).toEqual([0, ["a"]]);
    take("c");
    expect([places.taken, order]).toEqual([1, ["a", "c"]]);
  });

  test("are never more than there are, nor idle while somebody may have one, whatever the order", () => {
    const steps = fc.array(
      fc.record({ owner: fc.constantFrom("a", "b", "c"), gives: fc.option(fc.nat(20)) }),
      {
        maxLength: 60,
      },
    );
    fc.assert(
      fc.property(steps, (all) => {
        const places = new Places(3, 2);
        const held: { owner: string; isIn: boolean; isOver: boolean; give: () => void }[] = [];
        for (const { owner, gives } of all) {
          const found = gives === null ? undefined : held[gives];
          if (found !== undefined) {
            found.isOver = true;
            found.give();
          } else {
            const one = { owner, isIn: false, isOver: false, give: () => {} };
            one.give = places.take(owner, () => {
              one.isIn = true;
            });
            held.push(one);
          }
          const here = held.filter(({ isIn, isOver }) => isIn && !isOver);
          const waiting = held.filter(({ isIn, isOver }) => !isIn && !isOver);
          const of = (name: string) => here.filter((one) => one.owner === name).length;
          expect(places.taken).toBe(here.length);
          expect(here.length).toBeLessThanOrEqual(3);
          for (const name of ["a", "b", "c"]) expect(of(name)).toBeLessThanOrEqual(2);
          if (here.length < 3) expect(waiting.filter((one) => of(one.owner) < 2)).toEqual([]);
        }
      }),
    );
  });
});
