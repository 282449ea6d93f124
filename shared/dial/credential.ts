import { UnderpassError } from "../errors.ts";
import type { GiveUp } from "./place.ts";

type Done<T> = (result: T | UnderpassError) => void;

/** The token as one slot uses it: read anew before each dial, since a file may hold a newer one by then. */
export class Credential {
  readonly #read: () => Promise<string | undefined>;
  /** Of the latest dial, and the one that the relay called expired. */
  #used: string | undefined;
  #expired: string | undefined;

  constructor(read: () => Promise<string | undefined>) {
    this.#read = read;
  }

  /** Reads the token, then dials with it; a token that has expired is not dialled with. Returns what gives up. */
  dial<T>(dial: (token: string | undefined, done: Done<T>) => GiveUp, done: Done<T>): GiveUp {
    let cancelled = false;
    let cancelDial: GiveUp = () => {};
    const run = async (): Promise<void> => {
      const token = await this.#read();
      if (cancelled) return;
      if (token !== undefined && token === this.#expired) done(new UnderpassError("token-expired"));
      else {
        cancelDial = dial(token, (result) => {
          // A dial that came to nothing says nothing of its token.
          if (!(result instanceof UnderpassError) || result.code === "token-expired") this.#used = token;
          done(result);
        });
      }
    };
    run().catch((error: unknown) => {
      if (cancelled) return;
      done(error instanceof UnderpassError ? error : new UnderpassError("internal-error", String(error)));
    });
    return (why) => {
      cancelled = true;
      cancelDial(why);
    };
  }

  /** The relay says that the token has expired. false: it did so before, and reading it again brought no other. */
  renewable(): boolean {
    if (this.#used === undefined || this.#used === this.#expired) return false;
    this.#expired = this.#used;
    return true;
  }
}
