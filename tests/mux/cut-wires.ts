import type { End, Pair, Sent } from "./pair.ts";
import type { Talk } from "./talk.ts";

/** The other side of a stream that has arrived. */
export function other(pair: Pair, end: End, talk: Talk): Talk {
  const found = pair.peerOf(end).talks.get(talk.stream.id);
  if (found === undefined) throw new Error("the stream did not arrive");
  return found;
}

/** A stream that `end` has opened, both sides. */
export function opened(pair: Pair, end: End, slow = false): [Talk, Talk] {
  const talk = end.open(10, slow);
  if (talk === undefined) throw new Error("the stream is refused");
  pair.settle();
  return [talk, other(pair, end, talk)];
}

/** All messages that this side has ready. */
export function pollAll(pair: Pair, end: End): Sent[] {
  const all: Sent[] = [];
  for (let sent = pair.poll(end); sent !== undefined; sent = pair.poll(end)) all.push(sent);
  return all;
}

/** The records of a message, by name. */
export const kindsOf = (sent: Sent | undefined): string[] => sent?.records.map(({ record }) => record) ?? [];
