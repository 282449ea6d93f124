import { UnderpassError } from "../shared/errors.ts";
import { isName } from "../shared/name.ts";
import { allowsKind, allowsName, type Claims, type Kind, ownerOf } from "./auth/claims.ts";

/** Who gives names away: `Names`, or what asks one that lives elsewhere and takes its time. */
export interface NameRegister<Granted extends string | Promise<string>> {
  claim(name: string | undefined, owner: string, kind: Kind, nowMs: number): Granted;
}

/**
 * The one way from a token to a name, for `POST /_underpass/names` and for a dial alike: may this subject have a tunnel
 * of `kind` under `name` (undefined: a random one)? Returns the name, which is then the subject's. Throws
 * `name-invalid`, `kind-forbidden`, `name-forbidden`, `name-taken` or `too-many-requests`.
 */
export function grantName<Granted extends string | Promise<string>>(
  names: NameRegister<Granted>,
  claims: Claims,
  wanted: { readonly kind: Kind; readonly name?: string | undefined },
  nowMs: number,
): Granted {
  const { kind, name } = wanted;
  if (!allowsKind(claims, kind)) {
    throw new UnderpassError("kind-forbidden", `The token does not allow tunnels of kind ${kind}.`);
  }
  if (name === undefined && claims.names !== undefined && !claims.names.includes("*")) {
    throw new UnderpassError(
      "name-forbidden",
      "The token allows certain names only: ask for one with --name.",
    );
  }
  // A name that breaks the rule is told so by `claim`, rather than called forbidden.
  const own = name === undefined || !isName(name) || allowsName(claims, name);
  if (!own) throw new UnderpassError("name-forbidden", `The token does not allow the name ${name}.`);
  return names.claim(name, ownerOf(claims), kind, nowMs);
}
