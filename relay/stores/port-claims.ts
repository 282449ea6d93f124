import type { Kind } from "../../shared/kind.ts";
import type { PortClaim, PortRegistry, Registry } from "../cluster/registry.ts";
import type { RegistryAsks } from "./registry-asks.ts";

export const claimLimits = {
  /** A claim whose name has not got the port for so long, as seen from here, was made in vain: longer than both take to be written. */
  holdsMs: 15_000,
  /** Claims of names that have not got their ports. */
  maxSeen: 4_096,
} as const;

export interface PortClaimsOptions {
  readonly registry: Registry;
  readonly asks: RegistryAsks;
  /** Milliseconds of this relay alone, which only rise. */
  readonly nowMs: () => number;
}

/** A public port and the name that is to have it. */
export interface WantedPort {
  readonly name: string;
  readonly kind: Kind;
  readonly port: number;
}

/**
 * Public ports of names, each claimed before it is written into the name's entry. Both can't be written at once, so a claim
 * is renewed when the entry is written, and taken away only from a name whose entry was read without the port after the
 * claim was: of the two, who writes the claim second finds that it is another one. No clock has a say in that; time only
 * tells when it is worth a try.
 */
export class PortClaims {
  readonly #options: PortClaimsOptions;
  /** By kind and port: the claim of a name that has not got it, and since when it is known here. */
  readonly #seen = new Map<string, { readonly revision: string; readonly sinceMs: number }>();

  constructor(options: PortClaimsOptions) {
    this.#options = options;
  }

  /** Before the entry is written. false: another name has the port, or may be about to get it. Rejects with `registry-unreachable`. */
  claim(wanted: WantedPort): Promise<boolean> {
    return this.#ask(async (ports) => {
      const { name, kind, port } = wanted;
      const claim = await ports.claim(kind, port, name);
      if (claim.name === name) return true;
      if (!this.#isOld(wanted, claim) || !(await this.#isVain(wanted, claim))) return false;
      await ports.release(kind, port, claim);
      return (await ports.claim(kind, port, name)).name === name;
    });
  }

  /** After the entry was written, or may have been. false: the claim was taken away meanwhile. */
  renew({ name, kind, port }: WantedPort): Promise<boolean> {
    return this.#ask(async (ports) => {
      for (;;) {
        const claim = await ports.claim(kind, port, name);
        if (claim.name !== name) return false;
        // Another relay may have renewed it for the same name.
        if (await ports.renew(kind, port, claim)) return true;
      }
    });
  }

  /** The name has the port no more. Where that fails, whoever wants the port frees it after a while. */
  free(wanted: WantedPort): void {
    this.#ask(async (ports) => {
      const { name, kind, port } = wanted;
      const claim = await ports.claim(kind, port, name);
      if (claim.name !== name || !(await this.#isVain(wanted, claim))) return false;
      await ports.release(kind, port, claim);
      return true;
    }).catch(() => {});
  }

  /** As far as is known here. */
  #isOld({ kind, port }: WantedPort, { revision }: PortClaim): boolean {
    const { nowMs } = this.#options;
    const key = `${kind} ${port}`;
    const seen = this.#seen.get(key);
    if (seen?.revision === revision) return nowMs() - seen.sinceMs >= claimLimits.holdsMs;
    if (this.#seen.size >= claimLimits.maxSeen) this.#seen.clear();
    this.#seen.set(key, { revision, sinceMs: nowMs() });
    return false;
  }

  /** Read now, after the claim was. */
  async #isVain({ kind, port }: WantedPort, { name }: PortClaim): Promise<boolean> {
    const entry = (await this.#options.registry.lookUp(name))?.entry;
    return entry?.port !== port || entry.kind !== kind;
  }

  /** false also where there are no ports. */
  async #ask(run: (ports: PortRegistry) => Promise<boolean>): Promise<boolean> {
    const { registry, asks } = this.#options;
    const { ports } = registry;
    return ports !== undefined && (await asks.ask(() => run(ports)));
  }
}
