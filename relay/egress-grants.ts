import { parsePattern } from "../shared/egress/pattern.ts";
import { EgressPolicy } from "../shared/egress/policy.ts";
import { type Claims, ownerOf } from "./auth/claims.ts";

/** What tokens grant of egress, parsed once for each. */
export class EgressGrants {
  readonly #policies = new WeakMap<Claims, EgressPolicy>();

  /** Its owner is the token's subject, so that more sessions bring nobody more places. */
  policyOf(claims: Claims): EgressPolicy {
    const known = this.#policies.get(claims);
    if (known !== undefined) return known;
    const policy = new EgressPolicy(claims.egress.map(parsePattern), ownerOf(claims));
    this.#policies.set(claims, policy);
    return policy;
  }

  /** For a call by way of an agent, which resolves names itself: see EgressPolicy.permitsText. */
  reach(claims: Claims, target: string): "no" | "public" | "yes" {
    const policy = this.policyOf(claims);
    if (!policy.permitsTarget(target)) return "no";
    return policy.opensPublicOnly(target) ? "public" : "yes";
  }
}
