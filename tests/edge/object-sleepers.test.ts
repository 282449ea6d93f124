import { expect, test } from "bun:test";
import { sleepers } from "../../relay/runtimes/object-sleepers.ts";
import { type SleepingSession, sleepVersion } from "../../relay/sleep.ts";

/** What is looked at of what is kept. */
function kept(id: string, attempt: number, version: number = sleepVersion): SleepingSession {
  return { id, attempt, version } as SleepingSession;
}
const link = (name: string, attached?: SleepingSession) => ({ name, attached });

/** Each session and where it goes on; and the links that are told that theirs is gone. */
function find(stored: readonly unknown[], links: readonly ReturnType<typeof link>[]): [string[], string[]] {
  const { sleeping, gone } = sleepers(stored, links);
  const names = sleeping.map(({ state, link }) => `${state.id} ${state.attempt} ${link?.name ?? "stored"}`);
  return [names, gone.map(({ name }) => name)];
}

test("sessions are taken up from their links and from storage", () => {
  expect(find([kept("a", 1)], [link("one", kept("b", 4)), link("two")])).toEqual([
    ["a 1 stored", "b 4 one"],
    ["two"],
  ]);
});

test("a session that is found twice goes on once: where its latest attempt is, and on a link rather than without", () => {
  expect(find([kept("a", 1)], [link("one", kept("a", 1))])).toEqual([["a 1 one"], []]);
  expect(find([kept("a", 2)], [link("one", kept("a", 1))])).toEqual([["a 2 stored"], ["one"]]);
  const links = [link("old", kept("a", 1)), link("new", kept("a", 2))];
  expect(find([], links)).toEqual([["a 2 new"], ["old"]]);
  expect(find([], links.toReversed())).toEqual([["a 2 new"], ["old"]]);
});

test("what another version has kept is no session, and what was stored by none is left out", () => {
  expect(find([kept("a", 1, 0), undefined, null, 7], [link("one", kept("b", 1, 0))])).toEqual([[], ["one"]]);
});
