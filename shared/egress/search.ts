import type { Clock } from "../clock.ts";
import { type Code, UnderpassError } from "../errors.ts";
import type { Resolve } from "../resolve.ts";
import { type Address, parseAddress } from "./address.ts";
import { egressLimits } from "./limits.ts";
import type { Places } from "./places.ts";
import type { EgressPolicy } from "./policy.ts";
import type { Target } from "./target.ts";

/** A target whose text the policy let pass. */
export interface EgressRequest {
  readonly target: Target;
  readonly text: string;
  readonly policy: EgressPolicy;
  /** No pattern has its name: whether the name is known is not told. */
  readonly byAddress: boolean;
  /** Whoever passed it on granted public addresses only. */
  readonly publicOnly: boolean;
}

export interface SearchDeps {
  readonly resolve: Resolve;
  readonly clock: Clock;
  /** Of those who look names up. */
  readonly lookUps: Places;
  readonly isOwn?: (address: string, port: number) => boolean;
}

/**
 * Finds the addresses at which a target may be reached: waits for a place, looks its name up, and asks the policy. `found` gets at least one
 * address. `failed` is called instead or, when what is made of them takes longer than the deadline, after it. Nothing is called after
 * `close`, nor from inside the constructor.
 */
export class EgressSearch {
  /** When all must be over, the dials too. */
  readonly deadlineMs: number;
  #over = false;
  #hasPlace = false;
  #hasFound = false;
  readonly #giveBack: () => void;
  /** Gives up waiting to look the name up; one that is under way can't be given up. */
  #leaveLookUps = (): void => {};
  readonly #stopTimer: () => void;

  constructor(
    private readonly deps: SearchDeps,
    places: Places,
    private readonly request: EgressRequest,
    private readonly found: (addresses: readonly Address[]) => void,
    private readonly failed: (code: Code) => void,
  ) {
    this.deadlineMs = deps.clock.now() + egressLimits.openTimeoutMs;
    this.#stopTimer = deps.clock.at(this.deadlineMs, () => this.#fail("origin-timeout"));
    // After this turn at the earliest, so that nothing is told from inside the constructor.
    this.#giveBack = places.take(request.policy.owner, () => {
      this.#hasPlace = true;
      deps.clock.soon(() => this.#look());
    });
  }

  /** Others have all the places that it may have. */
  get isWaiting(): boolean {
    return !this.#hasPlace;
  }

  /** What was found is open: the deadline is met. The place stays taken. */
  settle(): void {
    this.#stopTimer();
  }

  /** The place is free for others. Idempotent. */
  close(): void {
    if (this.#over) return;
    this.#over = true;
    this.#stopTimer();
    this.#leaveLookUps();
    this.#giveBack();
  }

  #look(): void {
    if (this.#over) return;
    const { address, name } = this.request.target.host;
    if (address === undefined) this.#lookUp(name);
    else this.#check([address]);
  }

  #lookUp(name: string): void {
    const { lookUps, resolve } = this.deps;
    let isUnderWay = false;
    const leave = lookUps.take(this.request.policy.owner, () => {
      isUnderWay = true;
      resolve(name)
        .finally(() => leave())
        .then(
          (texts) => this.#resolved(texts),
          (error: unknown) => this.#unresolved(error),
        );
    });
    this.#leaveLookUps = () => {
      if (!isUnderWay) leave();
    };
  }

  #resolved(texts: readonly string[]): void {
    if (this.#over) return;
    if (texts.length === 0) this.#fail("origin-not-found");
    // What can't be read as an address is none that was permitted.
    else this.#check(texts.map(parseAddress).filter((address) => address !== undefined));
  }

  #unresolved(error: unknown): void {
    this.#fail(error instanceof UnderpassError ? error.code : "origin-unreachable");
  }

  #check(addresses: readonly Address[]): void {
    const { policy, target, publicOnly } = this.request;
    const permitted = addresses.filter((address) => {
      const isOwn = this.deps.isOwn?.(address.text, target.port) === true;
      return policy.permits(target, address, { isOwn, publicOnly });
    });
    if (permitted.length === 0) {
      this.#fail("egress-denied");
      return;
    }
    this.#hasFound = true;
    this.found(permitted.slice(0, egressLimits.maxAddresses));
  }

  #fail(code: Code): void {
    if (this.#over) return;
    this.close();
    this.failed(this.request.byAddress && !this.#hasFound ? "egress-denied" : code);
  }
}
