import { type SleepingSession, sleepVersion } from "../sleep.ts";
import type { ObjectLink } from "./object-links.ts";

/** A session that slept. Without a link it stands in storage, under its key. */
export interface Sleeper {
  readonly state: SleepingSession;
  readonly link?: ObjectLink;
}

/**
 * The sessions that slept, each once: where something went wrong on the way, the one of the latest link counts, and one
 * with a link before a stored one. `gone`: links of which nothing is kept, or nothing that this version understands.
 */
export function sleepers(
  stored: Iterable<unknown>,
  links: readonly ObjectLink[],
): { readonly sleeping: readonly Sleeper[]; readonly gone: readonly ObjectLink[] } {
  const byId = new Map<string, Sleeper>();
  const gone: ObjectLink[] = [];
  for (const value of stored) if (isSleeping(value)) byId.set(value.id, { state: value });
  for (const link of links) {
    const state = link.attached;
    const known = isSleeping(state) ? byId.get(state.id) : undefined;
    if (!isSleeping(state) || (known !== undefined && known.state.attempt > state.attempt)) {
      gone.push(link);
      continue;
    }
    if (known?.link !== undefined) gone.push(known.link);
    byId.set(state.id, { state, link });
  }
  return { sleeping: [...byId.values()], gone };
}

function isSleeping(value: unknown): value is SleepingSession {
  return (value as Partial<SleepingSession> | undefined)?.version === sleepVersion;
}
