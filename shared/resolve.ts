/**
 * Looks up the addresses of a host name, as the machine it runs on does (hosts file included), in the order in which they should be
 * tried; IPv6 without brackets. Ends within `resolveLimits.timeoutMs`. Rejects with UnderpassError: `origin-not-found` when there is no
 * such name, `origin-timeout`, `origin-unreachable` when nobody could say. Implementations stand in `runtimes/`.
 */
export type Resolve = (host: string) => Promise<readonly string[]>;

export interface ResolveLimits {
  /** A resolver asks twice or more within it; whoever waits has 10 s for all. */
  readonly timeoutMs: number;
  /** Look-ups that the system has not answered, those that nobody waits for any more too: it has few threads for them. */
  readonly maxUnderWay: number;
}

export const resolveLimits: ResolveLimits = { timeoutMs: 5_000, maxUnderWay: 256 };
