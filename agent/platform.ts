import type { Clock } from "../shared/clock.ts";
import type { OpenDatagrams } from "../shared/datagrams.ts";
import type { Memory } from "../shared/mux/memory.ts";
import type { PipeEnd } from "../shared/pipe.ts";
import type { Resolve } from "../shared/resolve.ts";
import type { Dial, Listen, StartTls } from "../shared/socket.ts";
import type { Environment } from "./dial/proxy-environment.ts";

/** What an agent needs of the runtime it runs on; one file in runtimes/ provides it. */
export interface Platform {
  readonly dial: Dial;
  readonly listen: Listen;
  /** TLS over a socket of `dial`. */
  readonly startTls: StartTls;
  readonly openDatagrams: OpenDatagrams;
  readonly resolve: Resolve;
  /** Whether an address, IPv6 without brackets, is one of this machine. */
  readonly isOwn: (address: string) => boolean;
  readonly clock: Clock;
  /** Fills with random bytes fit for secrets, and returns what it was given. */
  readonly random: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>;
  /** Where proxies are named (HTTPS_PROXY, ...). */
  readonly environment: Environment;
  /** The text of a file. Rejects when it can't be read. */
  readonly readText: (path: string) => Promise<string>;
  /** Keeps a secret in a new file that nobody else can read, until `remove`. */
  readonly keepSecret: (
    text: string,
  ) => Promise<{ readonly path: string; readonly remove: () => Promise<void> }>;
  /** stdin and stdout as the end of a pipe; take it once. */
  readonly standardPipe: () => PipeEnd;
  /** An address of this machine in its local network; undefined: there is none. */
  readonly lanAddress: () => string | undefined;
  /** What all agents of the process together may hold; absent: each has its own. */
  readonly memory?: Memory;
}
