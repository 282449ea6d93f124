import type { Address } from "./address.ts";
import { judge } from "./address-class.ts";
import { single } from "./network.ts";
import type { EgressPattern } from "./pattern.ts";
import { parseTarget, type Target } from "./target.ts";

/** How a target's host is granted, whatever it resolves to. `glob` opens public addresses, `exact` more. */
type NameGrant = "none" | "glob" | "exact";

/** What is to be done about a target before its name is resolved. */
export type Asking =
  | "denied"
  /** A pattern has the name, or (for an address) has the address. */
  | "granted"
  /** No pattern has the name, but some have addresses: what it resolves to decides, and nothing else is told of it. */
  | "by-address";

/**
 * Which targets a list of patterns grants. Asked twice: for the text before a name is resolved, and for the
 * addresses after. What may be dialled:
 *
 * | the address is | a glob has the name | an exact name | an address or CIDR pattern has it |
 * | --- | --- | --- | --- |
 * | public | yes | yes | yes |
 * | private, loopback, reserved | no | yes | if all of the pattern lies within that special range |
 * | link-local, metadata | no | no | the same |
 *
 * *That special range* is the narrowest in shared/egress/address-class.ts that has the address. So `*:*`, `0.0.0.0/0:*` and `[::]/0:*` open public
 * addresses only, `10.0.0.0/8:*` opens 10/8, and `169.254.0.0/16:*` opens link-local addresses but not
 * 169.254.169.254, for which it takes `169.254.169.254:80`. A target that is an address is no name: of the name patterns only `*` has it.
 */
export class EgressPolicy {
  /** Who counts as one where places are shared out. */
  readonly owner: unknown;

  /** `owner`: absent where nobody else has this policy. */
  constructor(
    readonly patterns: readonly EgressPattern[],
    owner?: string,
  ) {
    this.owner = owner ?? this;
  }

  /** Before anything is resolved. */
  asks(target: Target): Asking {
    const { host, port } = target;
    if (host.address !== undefined) return this.permits(target, host.address) ? "granted" : "denied";
    if (this.nameGrant(target) !== "none") return "granted";
    return this.patterns.some((pattern) => pattern.network !== undefined && pattern.hasPort(port))
      ? "by-address"
      : "denied";
  }

  /**
   * May `address`, to which the target's name resolved (or which it is), be dialled? `isOwn`: it belongs to this machine, so that a public
   * one is granted like loopback, and by a pattern for it alone. `publicOnly`: somebody before this policy granted no more.
   */
  permits(target: Target, address: Address, { isOwn = false, publicOnly = false } = {}): boolean {
    const grant = this.nameGrant(target);
    const judged = judge(address);
    const { class: name, range } =
      isOwn && judged.class === "public" ? { class: "loopback", range: single(address) } : judged;
    if (publicOnly && name !== "public") return false;
    if (name === "public" && grant !== "none") return true;
    if (grant === "exact" && name !== "link-local" && name !== "metadata") return true;
    return this.patterns.some(
      (pattern) =>
        pattern.network?.contains(address) === true &&
        (range === undefined || pattern.network.isWithin(range)) &&
        pattern.hasPort(target.port),
    );
  }

  /**
   * For the relay of a call by way of an agent (`--via`), who resolves in its own network and has its own patterns:
   * a name must be granted by name, an address as in `permits`. `host` as in a target: IPv6 in brackets.
   */
  permitsText(host: string, port: number): boolean {
    return this.permitsTarget(`${host}:${port}`);
  }

  /** The same for `HOST:PORT`. */
  permitsTarget(text: string): boolean {
    const target = parseTarget(text);
    return target !== undefined && this.asks(target) === "granted";
  }

  /** `HOST:PORT` that is permitted is a name that no pattern has as it is: it may lead to public addresses only. */
  opensPublicOnly(text: string): boolean {
    const target = parseTarget(text);
    return target !== undefined && target.host.address === undefined && this.nameGrant(target) !== "exact";
  }

  private nameGrant({ host, port }: Target): NameGrant {
    let best: NameGrant = "none";
    for (const pattern of this.patterns) {
      if (!pattern.hasPort(port)) continue;
      if (host.name === undefined ? !pattern.isAnyHost : !pattern.matchesName(host.name)) continue;
      if (pattern.isExactName) return "exact";
      best = "glob";
    }
    return best;
  }
}
