import { UnderpassError } from "../shared/errors.ts";
import type { Kind, SessionKind } from "../shared/kind.ts";
import type { Claims } from "./auth/claims.ts";
import { ownerOf } from "./auth/claims.ts";
import { isRelaySubject } from "./cluster/key.ts";
import { grantName, type NameRegister } from "./grant.ts";
import type { Names } from "./names.ts";
import { isCalling } from "./session-home.ts";
import type { Tunnels } from "./tunnels.ts";

/** An agent that may have a link, before the link is there. */
export interface Admission {
  readonly name: string;
  readonly kind: SessionKind;
  readonly claims: Claims;
  /** The id of the session to resume, from the dial's path. */
  readonly session?: string | undefined;
  /** The relay that has that session, by its id, where it is another: the link is passed on to it. */
  readonly elsewhere?: string;
  /** Another relay has passed the link on: it is only for that session. */
  readonly passedOn?: true;
}

/** Public ports of tunnels: tcp and udp. */
export interface PortKeeper {
  /** Sees to it that the name's public port is open. Rejects with `port-taken`, `port-forbidden` or `kind-unavailable`. */
  open(name: string, owner: string, kind: Kind): Promise<void>;
}

export interface AdmissionDeps {
  readonly names: Names;
  readonly tunnels: Tunnels;
  /** What this relay was started with. */
  readonly offers: (kind: SessionKind) => boolean;
  readonly ports?: PortKeeper | undefined;
}

/**
 * The one place where a token's claims meet what a session is for. Throws the refusal. What becomes of the name, where it
 * is one of a tunnel, is the register's.
 */
export function checkRight(
  { tunnels, offers }: Omit<AdmissionDeps, "names">,
  claims: Claims,
  { name, kind }: Pick<Admission, "name" | "kind">,
  nowMs: number,
  register: NameRegister<string>,
): void {
  if (!offers(kind)) throw new UnderpassError("kind-unavailable");
  if (kind === "relay") {
    if (!isRelaySubject(claims.subject)) throw new UnderpassError("unauthorized");
    return;
  }
  if (kind === "connect") {
    if (!claims.connect.includes(name))
      throw new UnderpassError("connect-denied", `The token does not allow the private tunnel ${name}.`);
    return;
  }
  if (isCalling(kind)) {
    if (claims.egress.length === 0) throw new UnderpassError("egress-denied", "The token grants no egress.");
    const tunnel = kind === "via" ? tunnels.find(name) : undefined;
    if (tunnel !== undefined && !tunnel.serves("egress"))
      throw new UnderpassError("egress-denied", `The agent of ${name} was not started with --allow-egress.`);
    return;
  }
  if (tunnels.hasOther(name, ownerOf(claims))) throw new UnderpassError("name-taken");
  grantName(register, claims, { kind, name }, nowMs);
}
