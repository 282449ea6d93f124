import { parsePattern } from "../shared/egress/pattern.ts";
import { EgressPolicy } from "../shared/egress/policy.ts";
import type { Claims } from "./auth/claims.ts";

/** What tokens grant of egress, parsed once for each. */
export class EgressGrants {
  readonly #policies = new WeakMap<Claims, EgressPolicy>();

  /** The same object for the same claims, so that places and flows can be counted by it. */
  policyOf(claims: Claims): EgressPolicy {
    const known = this.#policies.get(claims);
    if (known !== undefined) return known;
    const policy = new EgressPolicy(claims.egress.map(parsePattern));
    this.#policies.set(claims, policy);
    return policy;
  }
}
