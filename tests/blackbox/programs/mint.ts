import { secretFromText } from "../../../relay/auth/secret.ts";
import { Tokens } from "../../../relay/auth/tokens.ts";
import { kinds } from "../../../shared/kind.ts";
import { parseDuration } from "../../../shared/units.ts";
import type { TokenOptions } from "./relay.ts";

const defaultTtl = "1h";

/** Mints tokens of this key in this process, where the command of a relay would take a second each. */
export function minterOf(secretText: string): (wanted?: TokenOptions) => Promise<string> {
  const tokens = new Tokens(secretFromText(secretText));
  return ({ sub = "tester", names, kinds: wanted, connect, egress, admin, ttl = defaultTtl } = {}) =>
    tokens.mint(
      {
        subject: sub,
        ttlMs: parseDuration(ttl),
        ...(names && { names }),
        ...(wanted && { kinds: kinds.filter((kind) => wanted.includes(kind)) }),
        ...(connect && { connect }),
        ...(egress && { egress }),
        ...(admin && { admin }),
      },
      Date.now(),
    );
}
