import { type SleepingSession, sleepVersion } from "../sleep.ts";

/** A link, and what is kept with it. */
interface Attached {
  readonly attached: unknown;
}

/** A session that slept. Without a link it stands in storage, under its key. */
export interface Sleeper<L extends Attached> {
  readonly state: SleepingSession;
  readonly link?: L;
}

/**
 * The sessions that slept, each once: where something went wrong on the way, the one of the latest link counts, and one
 * with a link before a stored one. `gone`: links of which nothing is kept, or nothing that this version understands.
 */
export function sleepers<L extends Attached>(
  stored: Iterable<unknown>,
  links: readonly L[],
): { readonly sleeping: readonly Sleeper<L>[]; readonly gone: readonly L[] } {
  const byId = new Map<string, Sleeper<L>>();
  const gone: L[] = [];
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
