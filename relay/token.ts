import { Tokens } from "./auth/tokens.ts";
import type { TokenOptions } from "./options.ts";

/** The key that a token was made with, and how to name its place to a person. */
export interface LoadedSecret {
  readonly secret: Uint8Array;
  /** `the key file /path/secret` or `UNDERPASS_SECRET`; never the key. */
  readonly source: string;
}

/** `relay token`: `stdout` is the JWT and a newline, `stderr` says with which key. Rejects with `usage`. */
export async function mintToken(
  options: TokenOptions,
  loaded: LoadedSecret,
  dateMs: number,
): Promise<{ readonly stdout: string; readonly stderr: string }> {
  const jwt = await new Tokens(loaded.secret).mint(options, dateMs);
  const until = new Date(dateMs + options.ttlMs).toISOString().slice(0, 16).replace("T", " ");
  return {
    stdout: `${jwt}\n`,
    stderr: `Token for ${options.subject}, valid until ${until} UTC, made with ${loaded.source}.\n`,
  };
}
