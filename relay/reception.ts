import { base64url } from "../shared/base64url.ts";
import { type Code, UnderpassError } from "../shared/errors.ts";
import { type Hello, maxRelays, readHello, type Welcome, writeWelcome } from "../shared/handshake.ts";
import { egressFeature, type SessionKind } from "../shared/kind.ts";
import type { Link } from "../shared/link.ts";
import { limits } from "../shared/mux/limits.ts";
import { isProof } from "../shared/proof.ts";
import { type Admission, type AdmissionDeps, checkRight } from "./admission.ts";
import type { AgentSession } from "./agent-session.ts";
import { ownerOf } from "./auth/claims.ts";
import { maxRevocations, type Revocations } from "./auth/revocations.ts";
import { isRevoked, type Tokens } from "./auth/tokens.ts";
import type { PassingAdmission } from "./cluster/passed-links.ts";
import type { DialPlace } from "./dial.ts";
import type { NameRegister } from "./grant.ts";
import { refuseLink } from "./refuse-link.ts";
import { callingShare, isCalling } from "./session-home.ts";
import { SessionLife, type SessionLifeDeps } from "./session-life.ts";
import type { SleepingSession } from "./sleep.ts";
import type { SharedNames } from "./stores/shared-names.ts";

export interface ReceptionDeps extends AdmissionDeps, SessionLifeDeps {
  readonly tokens: Tokens;
  /** Of relays that are neighbours; absent: there are none. */
  readonly relayTokens?: Tokens | undefined;
  readonly random: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>;
  /** The public addresses of a tunnel. */
  readonly urlsOf: (name: string, kind: SessionKind) => string[];
  /** Other relays of the cluster that take agents, the best first; absent, or empty: there are none. */
  readonly relays?: () => readonly string[];
  /** No new agents: the relay is stopping. */
  readonly draining: () => boolean;
  /** Of agents; absent: what a server of one's own can take. */
  readonly maxLinks?: number;
  /** Of this process, in a cluster: what the ids of its sessions begin with. */
  readonly process?: string | undefined;
  /** The relay of the cluster that has this session and is alive, by its id. undefined: this one, or none. */
  readonly elsewhere?: (session: string) => string | "unreachable" | undefined;
  /** Passes a link on to it. `gone` is to be called when the link is. */
  readonly passOn?: (link: Link, admission: PassingAdmission, gone: () => void) => void;
  /** Where other relays give names away too. */
  readonly shared?: Pick<SharedNames, "load" | "commit"> | undefined;
}

/** What became of a link that has said HELLO. */
interface Arrival {
  /** The link is gone, whoever used it. */
  readonly gone: () => void;
  /** What the agent took to answer the 101. */
  readonly tripMs: number;
}

const receptionLimits = {
  helloWithinMs: 10_000,
  /** Links for which no session exists yet. */
  maxPending: 4_096,
  maxLinks: 60_000,
  resumingShare: 1.25,
} as const;

/** Nothing becomes of the name. */
const asked: NameRegister<string> = { claim: (name = "") => name };

/** What every WELCOME says alike. */
const given = {
  version: 1 as const,
  features: [] as string[],
  window: limits.initialWindowBytes,
  streams: limits.maxStreams,
};

/** Where agents arrive: the credential, the handshake, and the session that comes of it. */
export class Reception {
  private pending = 0;
  private linkCount = 0;
  /** Of these: of agents that call. */
  private callingCount = 0;
  private readonly life: SessionLife;
  /** What becomes of the name that a dial is for, and of one whose agent has said HELLO. */
  private readonly checked: NameRegister<string>;
  private readonly taken: NameRegister<string>;
  /** By owner, what this process knows of: who was let in before it may say HELLO after it. */
  private readonly revokedUntil = new Map<string, number>();

  constructor(private readonly deps: ReceptionDeps) {
    this.life = new SessionLife(deps);
    const { names } = deps;
    this.checked = { claim: (name = "", ...rest) => names.check(name, ...rest) };
    this.taken = { claim: (name = "", ...rest) => names.take(name, ...rest) };
  }

  /** A dial was refused. */
  refused(code: Code): void {
    this.deps.metrics.refused(code);
  }

  /** Checks a dial before the link is opened. Rejects with the refusal; nothing is kept of one. */
  async admit({ name, kind, session }: DialPlace, token: string | undefined): Promise<Admission> {
    const { deps } = this;
    // A session that is finishing its streams here can be resumed nowhere else.
    const held = session === undefined ? undefined : this.life.held(session);
    const isRelay = kind === "relay";
    const isAway = session !== undefined && held === undefined && !isRelay;
    const elsewhere = isAway ? deps.elsewhere?.(session) : undefined;
    if (isRelay && deps.relayTokens === undefined) throw new UnderpassError("kind-unavailable");
    // Its visitors have come here while the agents are still here.
    if (deps.draining() && held === undefined && !isRelay && elsewhere === undefined)
      throw new UnderpassError("going-away");
    if (token === undefined)
      throw new UnderpassError("unauthorized", "The relay wants a token: give one by --token-file.");
    const { maxPending } = receptionLimits;
    const { maxLinks = receptionLimits.maxLinks } = deps;
    // Who resumes may still count for the link that he has lost.
    const most = held === undefined ? maxLinks : maxLinks * receptionLimits.resumingShare;
    const isFull = this.pending >= maxPending || this.linkCount >= most;
    // What fills memory may be waiting for the very agent that resumes.
    if (isFull || (held === undefined && deps.memory.isFull)) throw new UnderpassError("too-many-links");
    const tokens = isRelay ? deps.relayTokens : undefined;
    const claims = await (tokens ?? deps.tokens).verify(token, deps.clock.date());
    const haveTheirs =
      this.callingCount >= maxLinks * callingShare ||
      (elsewhere === undefined && deps.callers.isFull(ownerOf(claims)));
    if (held === undefined && isCalling(kind) && haveTheirs) throw new UnderpassError("too-many-links");
    // What the name allows is looked at where the session is.
    if (elsewhere === "unreachable") throw new UnderpassError("session-elsewhere");
    if (elsewhere !== undefined) return { name, kind, claims, session, elsewhere };
    const hasPort = kind === "tcp" || kind === "udp";
    // Who resumes what has lost the name since, or is only to join what carries something else, must not change what the name
    // is for: that would cost it its port.
    const asks = held !== undefined ? held.leaving : !hasPort && deps.tunnels.hasOtherKind(name, kind);
    // Of a session that is here the name was the agent's when it began: its streams don't hang on the store.
    const goesOn = held?.name === name && held.owner === ownerOf(claims);
    const shared = isCalling(kind) || goesOn ? undefined : deps.shared;
    // Else it is the HELLO that makes the name the agent's: a write for each tunnel instead of two.
    const keeps = hasPort || shared !== undefined;
    await shared?.load(name);
    checkRight(
      deps,
      claims,
      { name, kind },
      deps.clock.now(),
      asks ? asked : keeps ? deps.names : this.checked,
    );
    await shared?.commit(name);
    if (hasPort && !asks) await deps.ports?.open(name, ownerOf(claims), kind);
    return { name, kind, claims, session };
  }

  /** Waits for HELLO on an open link, welcomes the agent, and drives the session; or passes the link on to the relay that does. */
  receive(link: Link, admission: Admission): void {
    const { clock, sleep, passOn } = this.deps;
    const { session, elsewhere } = admission;
    if (session !== undefined && elsewhere !== undefined) {
      passOn?.(link, { ...admission, session, elsewhere }, this.count(admission.kind));
      return;
    }
    this.pending++;
    sleep?.stirs(link);
    const openedMs = clock.now();
    let waiting = true;
    const settle = () => {
      if (!waiting) return;
      waiting = false;
      this.pending--;
      sleep?.rests(link);
      cancel();
    };
    // Kept for as long as the link lives, so it must not hold what only the handshake needs.
    const gone = this.count(admission.kind);
    const refuse = (code: Code) => {
      settle();
      this.refused(code);
      refuseLink(link, code, gone);
    };
    const cancel = clock.at(clock.now() + receptionLimits.helloWithinMs, () => refuse("handshake-timeout"));
    link.handler = {
      heard() {},
      message: (bytes) => {
        const hello = readHello(bytes);
        if (hello.kind === "goaway") return link.destroy();
        if (hello.kind === "fault") return refuse(hello.code);
        const arrival = { gone, tripMs: clock.now() - openedMs };
        const refusal = this.answer(link, admission, hello.value, arrival);
        if (refusal !== undefined) refuse(refusal);
        else settle();
      },
      text: () => refuse("protocol-error"),
      drained() {},
      closed: () => {
        settle();
        gone();
      },
    };
  }

  /** Takes up a session that came to rest before the relay slept: on its link, or without one. */
  takeUp(state: SleepingSession, link: Link | undefined): void {
    this.life.takeUp(state, link, link === undefined ? () => {} : this.count(state.kind));
  }

  /** Ends what goes on by tokens of this owner that were issued up to `untilMs` (a date). */
  revoked(owner: string, untilMs: number | undefined): void {
    if (untilMs === undefined) return;
    this.revokedUntil.delete(owner);
    this.revokedUntil.set(owner, untilMs);
    for (const oldest of this.revokedUntil.keys()) {
      if (this.revokedUntil.size <= maxRevocations) break;
      this.revokedUntil.delete(oldest);
    }
    for (const agent of this.sessions()) {
      if (agent.owner !== owner || !isRevoked(agent.claims, untilMs)) continue;
      // Nobody is to wait for it.
      this.life.home(agent.kind).saidBye(agent, this.deps.clock.now());
      agent.driver.close("token-expired");
    }
  }

  /** Revocations may have been told elsewhere. Rejects where that can't be looked up. */
  async lookForRevoked(revocations: Pick<Revocations, "revokedUntil">): Promise<void> {
    const owners = new Set(this.sessions().map(({ owner }) => owner));
    const look = async (owner: string) => this.revoked(owner, await revocations.revokedUntil(owner));
    await Promise.all([...owners].map(look));
  }

  /** The name is another owner's now: those of this one leave. */
  lost(name: string, owner: string): void {
    for (const agent of this.deps.tunnels.sessions())
      if (agent.name === name && agent.owner === owner && !agent.leaving)
        this.life.retire(agent, "superseded");
  }

  /** After a rest without timers: links that were silent for too long are dropped. */
  wake(): void {
    for (const { driver } of this.sessions()) driver.lookAgain();
  }

  /** What WELCOME says of other relays. */
  private relays(): Pick<Welcome, "relays"> {
    const relays = this.deps.relays?.().slice(0, maxRelays) ?? [];
    return relays.length === 0 ? {} : { relays };
  }

  private sessions(): AgentSession[] {
    return [...this.deps.tunnels.sessions(), ...this.deps.callers.sessions()];
  }

  /** Of a link whose session was not at rest when the relay ended: it is gone. */
  dismiss(link: Link): void {
    refuseLink(link, "session-gone", this.count());
  }

  /** One more link, for a session of `kind` where that is known. Returns what says that it is gone. */
  private count(kind?: SessionKind): () => void {
    const calling = kind !== undefined && isCalling(kind);
    this.linkCount++;
    if (calling) this.callingCount++;
    this.deps.metrics.links++;
    return calling ? this.uncountCalling : this.uncount;
  }

  private readonly uncount = (): void => {
    this.linkCount--;
    this.deps.metrics.links--;
  };

  private readonly uncountCalling = (): void => {
    this.callingCount--;
    this.uncount();
  };

  /** Resumes a session, or begins one. Returns why not. */
  private answer(link: Link, admission: Admission, hello: Hello, arrival: Arrival): Code | undefined {
    const { resume } = hello;
    const { claims } = admission;
    if (isRevoked(claims, this.revokedUntil.get(ownerOf(claims)))) return "token-expired";
    if (resume?.session !== admission.session || hello.kind !== admission.kind) return "protocol-error";
    const held = resume && this.life.held(resume.session);
    if (held !== undefined) return this.resume(held, link, admission, hello, arrival);
    // What begins anew had better do so at the relay that was dialled.
    if (resume?.only === true || admission.passedOn === true) return "session-gone";
    return this.begin(link, admission, hello, arrival);
  }

  /** PROTOCOL.md section 3.1, steps 2 and 3. */
  private resume(
    agent: AgentSession,
    link: Link,
    { name, kind, claims }: Admission,
    { instance, slot, attempt, received, resume }: Hello,
    { gone, tripMs }: Arrival,
  ): Code | undefined {
    const { log, urlsOf, resumeWindowMs } = this.deps;
    const { driver, id, secret } = agent;
    const { ledger } = driver.session;
    const isSame =
      agent.name === name &&
      agent.kind === kind &&
      agent.owner === ownerOf(claims) &&
      agent.instance === instance &&
      agent.slot === slot &&
      isProof(resume?.proof ?? "", secret, { session: id, attempt, received });
    if (!isSame) return "proof-invalid";
    if (attempt <= agent.attempt) return "superseded";
    if (received > ledger.sent) return "protocol-error";
    agent.attempt = attempt;
    driver.unlink();
    const peerReceived = Math.max(received, ledger.acknowledgedCount);
    const counts = { resumed: true, first: peerReceived + 1, received: ledger.received };
    link.send(
      writeWelcome({
        ...counts,
        ...given,
        session: id,
        generation: agent.generation,
        urls: urlsOf(name, kind),
        resumeWindowMs,
        ...this.relays(),
      }),
    );
    driver.link(link, gone, { peerReceived, told: ledger.received, tripMs });
    this.life.linked(agent, claims);
    log.write({ event: "agent", name, kind, state: "resumed", subject: claims.subject });
    return undefined;
  }

  private begin(
    link: Link,
    { name, kind, claims }: Admission,
    hello: Hello,
    { gone, tripMs }: Arrival,
  ): Code | undefined {
    const { deps } = this;
    const { clock, tunnels, random, resumeWindowMs } = deps;
    const { instance, slot, attempt, join } = hello;
    const home = this.life.home(kind);
    const nowMs = clock.now();
    // What would have resumed a session of a relay that is leaving must not begin one here.
    if (deps.draining() && kind !== "relay") return "going-away";
    if (join === true && !isCalling(kind) && tunnels.hasOtherKind(name, kind)) return "kind-forbidden";
    const owner = ownerOf(claims);
    const place = { name, owner, kind, instance, slot };
    if (home.isSuperseded(name, instance, nowMs) || attempt <= home.lastAttempt(place)) return "superseded";
    try {
      // Between the dial and the HELLO the name may have become somebody else's.
      checkRight(deps, claims, { name, kind }, nowMs, this.taken);
    } catch (error) {
      return error instanceof UnderpassError ? error.code : "internal-error";
    }
    const id = `${deps.process ?? ""}${base64url(random(new Uint8Array(16)))}`;
    const secret = base64url(random(new Uint8Array(32)));
    const offersEgress = hello.features.includes(egressFeature);
    const facts = { ...place, id, secret, attempt, claims, offersEgress, generation: 0 };
    const { window: peerWindow, streams: peerStreams } = hello;
    const agent = this.life.make(facts, { peerWindow, peerStreams, tripMs });
    const { superseded, replaced } = home.add(agent, { join: join === true, nowMs });
    const counts = { resumed: false, first: 1, received: 0 };
    link.send(
      writeWelcome({
        ...{ ...counts, ...given, session: id, secret },
        features: agent.offersEgress ? [egressFeature] : [],
        ...{ generation: agent.generation, urls: deps.urlsOf(name, kind), resumeWindowMs },
        ...this.relays(),
      }),
    );
    deps.log.write({ event: "agent", name, kind, state: "here", subject: claims.subject });
    for (const old of superseded) this.life.retire(old, "superseded");
    for (const old of replaced) old.driver.session.lost("session-gone");
    agent.driver.link(link, gone);
    this.life.begun(agent);
    return undefined;
  }
}
