import type { Driver } from "./driver.ts";
import { limits } from "./mux/limits.ts";

/** Sessions whose expected answers differ by less are chosen by how much they have to do. */
const evenAnswerMs = 1;

/** Whether `one` will answer a new stream sooner than `other`: a round trip, and what is in flight before it. */
export function isQuicker(one: Driver, other: Driver): boolean {
  const gainMs = answerMs(other) - answerMs(one);
  if (Math.abs(gainMs) >= evenAnswerMs) return gainMs > 0;
  return one.session.openStreams < other.session.openStreams;
}

function answerMs({ session }: Driver): number {
  const { unacknowledgedBytes, ledger } = session;
  const { rate, roadMs } = ledger.flight;
  const ahead = Math.max(0, unacknowledgedBytes - limits.maxMessageBytes);
  return roadMs + (rate > 0 ? ahead / rate : 0);
}
