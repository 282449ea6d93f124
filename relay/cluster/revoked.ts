import type { Revocation } from "../auth/revocations.ts";

/** Where the relays of a cluster agree on revocations: a store that all of them reach, which takes its time and may fail. */
export interface RevokedRegistry {
  /** Of two dates for one owner, the later stays. Rejects with `registry-unreachable` where it can't be written. */
  put(revocation: Revocation): Promise<void>;
  /** Tells of all that is there, now and from now on. */
  watch(watcher: RevokedWatcher): void;
}

/** No call may throw. */
export interface RevokedWatcher {
  /** All are told anew: at first, and whenever the registry was out of reach, or came back with other contents. */
  begun(): void;
  put(revocation: Revocation): void;
  /** All that is there has been told since `begun`. */
  complete(): void;
  /** It can't be reached, which it tells the operator itself. */
  lost(): void;
}
