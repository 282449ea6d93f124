import { base64url } from "../shared/base64url.ts";
import { type Code, UnderpassError } from "../shared/errors.ts";
import { type Hello, maxRelays, type Welcome, writeWelcome } from "../shared/handshake.ts";
import { egressFeature, type SessionKind } from "../shared/kind.ts";
import type { Link } from "../shared/link.ts";
import { limits } from "../shared/mux/limits.ts";
import { type Admission, type AdmissionDeps, checkRight } from "./admission.ts";
import { ownerOf } from "./auth/claims.ts";
import type { NameRegister } from "./grant.ts";
import { type GivenPlace, isCalling } from "./session-home.ts";
import type { SessionLife, SessionLifeDeps } from "./session-life.ts";
import type { SharedNames } from "./stores/shared-names.ts";

export interface BeginningDeps extends AdmissionDeps, SessionLifeDeps {
  readonly random: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>;
  /** Of this process, in a cluster: what the ids of its sessions begin with. */
  readonly process?: string | undefined;
  /** The public addresses of a tunnel. */
  readonly urlsOf: (name: string, kind: SessionKind) => string[];
  /** Other relays of the cluster that take agents, the best first; absent, or empty: there are none. */
  readonly relays?: () => readonly string[];
  /** No new agents: the relay is stopping. */
  readonly draining: () => boolean;
  /** Where other relays give names away too, and generations. */
  readonly shared?: Pick<SharedNames, "load" | "commit" | "arrive" | "placeOf" | "depart"> | undefined;
}

/** What became of a link that has said HELLO. */
export interface Arrival {
  /** The link is gone, whoever used it. */
  readonly gone: () => void;
  /** What the agent took to answer the 101. */
  readonly tripMs: number;
  /** Nobody waits for an answer any more: the link is gone, or was refused. */
  readonly isOver: () => boolean;
}

/** What every WELCOME says alike. */
export const given = {
  version: 1 as const,
  features: [] as string[],
  window: limits.initialWindowBytes,
  streams: limits.maxStreams,
};

/** What WELCOME says of other relays. */
export function relaysOf({ relays }: Pick<BeginningDeps, "relays">): Pick<Welcome, "relays"> {
  const others = relays?.().slice(0, maxRelays) ?? [];
  return others.length === 0 ? {} : { relays: others };
}

/** How a fresh session begins: what HELLO asks for is looked at, where there are other relays agreed on with them, and welcomed. */
export class Beginning {
  /** What becomes of the name: nothing yet, or it is the agent's who has said HELLO. */
  readonly checked: NameRegister<string>;
  private readonly taken: NameRegister<string>;

  constructor(
    private readonly deps: BeginningDeps,
    private readonly life: SessionLife,
  ) {
    const { names } = deps;
    this.checked = { claim: (name = "", ...rest) => names.check(name, ...rest) };
    this.taken = { claim: (name = "", ...rest) => names.take(name, ...rest) };
  }

  /** Begins a session. Returns why not; a promise only where other relays have a say in it. */
  begin(
    link: Link,
    admission: Admission,
    hello: Hello,
    arrival: Arrival,
  ): Code | undefined | Promise<Code | undefined> {
    const { shared } = this.deps;
    const { name, kind, claims } = admission;
    if (shared === undefined || isCalling(kind)) {
      const refusal = this.refusal(admission, hello, this.taken);
      if (refusal === undefined) this.welcome(link, admission, hello, arrival);
      return refusal;
    }
    const refusal = this.refusal(admission, hello, this.checked);
    if (refusal !== undefined) return refusal;
    const { instance, join = false } = hello;
    const place = shared.arrive({ name, kind, owner: ownerOf(claims), instance, join });
    if (!(place instanceof Promise)) return this.agreed(link, admission, hello, arrival);
    return place.then(() => this.agreed(link, admission, hello, arrival), codeOf);
  }

  /** The relays have agreed on the agent's place: what was so before that is looked at again. */
  private agreed(link: Link, admission: Admission, hello: Hello, arrival: Arrival): Code | undefined {
    const { shared, tunnels } = this.deps;
    const { name } = admission;
    const { instance } = hello;
    const place = shared?.placeOf({ name, instance });
    // Gone again since then, as with another slot whose link is gone: who has lost the name is told so when it comes again.
    const refusal = place === undefined ? "registry-unreachable" : this.refusal(admission, hello, this.taken);
    if (refusal === undefined && !arrival.isOver()) {
      this.welcome(link, admission, hello, arrival, place);
      return undefined;
    }
    if (tunnels.siblings({ name, instance }).length === 0)
      shared?.depart(name, instance, { bye: false, keepsPlace: false });
    return refusal;
  }

  private refusal(
    { name, kind, claims }: Admission,
    { instance, slot, attempt, join }: Hello,
    register: NameRegister<string>,
  ): Code | undefined {
    const { deps } = this;
    const home = this.life.home(kind);
    const nowMs = deps.clock.now();
    // What would have resumed a session of a relay that is leaving must not begin one here.
    if (deps.draining() && kind !== "relay") return "going-away";
    if (join === true && !isCalling(kind) && deps.tunnels.hasOtherKind(name, kind)) return "kind-forbidden";
    const place = { name, owner: ownerOf(claims), kind, instance, slot };
    // Where other relays have a say in it, they know who has the name.
    const isSuperseded = deps.shared === undefined && home.isSuperseded(name, instance, nowMs);
    if (isSuperseded || attempt <= home.lastAttempt(place)) return "superseded";
    try {
      // Between the dial and the HELLO the name may have become somebody else's.
      checkRight(deps, claims, { name, kind }, nowMs, register);
    } catch (error) {
      return codeOf(error);
    }
    return undefined;
  }

  private welcome(
    link: Link,
    { name, kind, claims }: Admission,
    { features, instance, slot, attempt, join, window: peerWindow, streams: peerStreams }: Hello,
    { gone, tripMs }: Arrival,
    place?: GivenPlace,
  ): void {
    const { deps } = this;
    const { clock, random, resumeWindowMs } = deps;
    const id = `${deps.process ?? ""}${base64url(random(new Uint8Array(16)))}`;
    const secret = base64url(random(new Uint8Array(32)));
    const offersEgress = features.includes(egressFeature);
    const owner = ownerOf(claims);
    const facts = {
      name,
      owner,
      kind,
      instance,
      slot,
      id,
      secret,
      attempt,
      claims,
      offersEgress,
      generation: 0,
    };
    const agent = this.life.make(facts, { peerWindow, peerStreams, tripMs });
    const how = { join: join === true, nowMs: clock.now(), given: place };
    const { superseded, replaced } = this.life.home(kind).add(agent, how);
    const counts = { resumed: false, first: 1, received: 0 };
    link.send(
      writeWelcome({
        ...{ ...counts, ...given, session: id, secret },
        features: agent.offersEgress ? [egressFeature] : [],
        ...{ generation: agent.generation, urls: deps.urlsOf(name, kind), resumeWindowMs },
        ...relaysOf(deps),
      }),
    );
    deps.log.write({ event: "agent", name, kind, state: "here", subject: claims.subject });
    for (const old of superseded) this.life.retire(old, "superseded");
    for (const old of replaced) old.driver.session.lost("session-gone");
    agent.driver.link(link, gone);
    this.life.begun(agent);
  }
}

function codeOf(error: unknown): Code {
  return error instanceof UnderpassError ? error.code : "internal-error";
}
