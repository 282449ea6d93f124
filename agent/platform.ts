import type { Clock } from "../shared/clock.ts";
import type { Dial, Listen } from "../shared/socket.ts";

/** What an agent needs of the runtime it runs on; one file in runtimes/ provides it. */
export interface Platform {
  readonly dial: Dial;
  readonly listen: Listen;
  readonly clock: Clock;
  /** Fills with random bytes fit for secrets, and returns what it was given. */
  readonly random: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>;
  /** The text of a file. Rejects when it can't be read. */
  readonly readText: (path: string) => Promise<string>;
  /** An address of this machine in its local network; undefined: there is none. */
  readonly lanAddress: () => string | undefined;
}
