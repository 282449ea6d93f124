import { type Code, UnderpassError } from "../shared/errors.ts";
import { type Hello, readHello, writeWelcome } from "../shared/handshake.ts";
import type { SessionKind } from "../shared/kind.ts";
import type { Link } from "../shared/link.ts";
import { isProof } from "../shared/proof.ts";
import { type Admission, checkRight } from "./admission.ts";
import type { AgentSession } from "./agent-session.ts";
import { ownerOf } from "./auth/claims.ts";
import { maxRevocations, type Revocations } from "./auth/revocations.ts";
import { isRevoked, type Tokens } from "./auth/tokens.ts";
import { type Arrival, Beginning, type BeginningDeps, given, relaysOf } from "./beginning.ts";
import { generationIn } from "./cluster/name-entry.ts";
import type { PassingAdmission } from "./cluster/passed-links.ts";
import type { NameEntry } from "./cluster/registry.ts";
import type { DialPlace } from "./dial.ts";
import type { NameRegister } from "./grant.ts";
import { refuseLink } from "./refuse-link.ts";
import { callingShare, isCalling } from "./session-home.ts";
import { SessionLife } from "./session-life.ts";
import type { SleepingSession } from "./sleep.ts";

export interface ReceptionDeps extends BeginningDeps {
  readonly tokens: Tokens;
  /** Of relays that are neighbours; absent: there are none. */
  readonly relayTokens?: Tokens | undefined;
  /** Longer than agents, as visitors of theirs may be there. */
  readonly takesNeighbours?: () => boolean;
  /** Of agents; absent: what a server of one's own can take. */
  readonly maxLinks?: number;
  /** The relay of the cluster that has this session and is alive, by its id. undefined: this one, or none. */
  readonly elsewhere?: (session: string) => string | "unreachable" | undefined;
  /** Passes a link on to it. `gone` is to be called when the link is. */
  readonly passOn?: (link: Link, admission: PassingAdmission, gone: () => void) => void;
}

const receptionLimits = {
  helloWithinMs: 10_000,
  /** Where other relays have a say in it; the agent gives up after 10 s. */
  welcomeWithinMs: 9_000,
  /** Links for which no session exists yet. */
  maxPending: 4_096,
  maxLinks: 60_000,
  resumingShare: 1.25,
} as const;

/** Nothing becomes of the name. */
const asked: NameRegister<string> = { claim: (name = "") => name };

/** Where agents arrive: the credential, the handshake, and the session that comes of it. */
export class Reception {
  private pending = 0;
  private linkCount = 0;
  /** Of these: of agents that call. */
  private callingCount = 0;
  private readonly life: SessionLife;
  private readonly beginning: Beginning;
  /** By owner, what this process knows of: who was let in before it may say HELLO after it. */
  private readonly revokedUntil = new Map<string, number>();

  constructor(private readonly deps: ReceptionDeps) {
    this.life = new SessionLife(deps);
    this.beginning = new Beginning(deps, this.life);
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
    // The one that was meant had this address before.
    if (isRelay && name !== deps.process) throw new UnderpassError("session-elsewhere");
    if (isRelay && held === undefined && deps.takesNeighbours?.() === false)
      throw new UnderpassError("going-away");
    // Its visitors have come here while the agents are still here.
    if (deps.draining() && held === undefined && !isRelay && elsewhere === undefined)
      throw new UnderpassError("going-away");
    if (token === undefined)
      throw new UnderpassError("unauthorized", "The relay wants a token: give one by --token-file.");
    const { maxPending } = receptionLimits;
    const { maxLinks = receptionLimits.maxLinks } = deps;
    // Who resumes may still count for the link that he has lost; visitors of many tunnels come by a neighbour's.
    const isNew = held === undefined && !isRelay;
    const most = isNew ? maxLinks : maxLinks * receptionLimits.resumingShare;
    const isFull = this.pending >= maxPending || this.linkCount >= most;
    // What fills memory may be waiting for the very agent that resumes.
    if (isFull || (held === undefined && deps.memory.isFull)) throw new UnderpassError("too-many-links");
    const tokens = isRelay ? deps.relayTokens : undefined;
    const claims = await (tokens ?? deps.tokens).verify(token, deps.clock.date());
    const haveTheirs =
      this.callingCount >= maxLinks * callingShare ||
      (elsewhere === undefined && deps.callers.isFull(ownerOf(claims)));
    if (isNew && isCalling(kind) && haveTheirs) throw new UnderpassError("too-many-links");
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
    await shared?.load(name);
    // Else it is the HELLO that makes the name the agent's: a write for each tunnel instead of two.
    const register = asks ? asked : hasPort ? deps.names : this.beginning.checked;
    checkRight(deps, claims, { name, kind }, deps.clock.now(), register);
    if (hasPort) await shared?.commit(name);
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
    const { helloWithinMs, welcomeWithinMs } = receptionLimits;
    let cancel = clock.at(clock.now() + helloWithinMs, () => refuse("handshake-timeout"));
    let message = (bytes: Uint8Array): void => {
      const hello = readHello(bytes);
      if (hello.kind === "goaway") return link.destroy();
      if (hello.kind === "fault") return refuse(hello.code);
      const arrival = { gone, tripMs: clock.now() - openedMs, isOver: () => !waiting };
      const refusal = this.answer(link, admission, hello.value, arrival);
      if (!(refusal instanceof Promise)) return answered(refusal);
      cancel();
      cancel = clock.at(clock.now() + welcomeWithinMs, () => refuse("registry-unreachable"));
      // Until WELCOME the agent has nothing to say but GOAWAY.
      message = (next) => (readHello(next).kind === "goaway" ? link.destroy() : refuse("protocol-error"));
      refusal.then((code) => waiting && answered(code));
    };
    const answered = (refusal: Code | undefined): void => {
      if (refusal !== undefined) refuse(refusal);
      else settle();
    };
    link.handler = {
      heard() {},
      message: (bytes) => message(bytes),
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
    for (const agent of this.deps.tunnels.sessionsOf(name))
      if (agent.owner === owner && !agent.leaving) this.life.retire(agent, "superseded");
  }

  /** As the relays have agreed, the name is this owner's, and of agents of these generations. */
  fenced(name: string, entry: Pick<NameEntry, "owner" | "exclusive" | "agents">): void {
    const { tunnels } = this.deps;
    tunnels.fence(name, entry.exclusive);
    for (const session of tunnels.sessionsOf(name)) {
      if (session.leaving) continue;
      const generation = session.owner === entry.owner ? generationIn(entry, session) : undefined;
      if (generation === undefined) this.life.retire(session, "superseded");
      else session.generation = generation;
    }
  }

  /** After a rest without timers: links that were silent for too long are dropped. */
  wake(): void {
    for (const { driver } of this.sessions()) driver.lookAgain();
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
  private answer(
    link: Link,
    admission: Admission,
    hello: Hello,
    arrival: Arrival,
  ): Code | undefined | Promise<Code | undefined> {
    const { resume } = hello;
    const { claims } = admission;
    if (isRevoked(claims, this.revokedUntil.get(ownerOf(claims)))) return "token-expired";
    if (resume?.session !== admission.session || hello.kind !== admission.kind) return "protocol-error";
    const held = resume && this.life.held(resume.session);
    if (held !== undefined) return this.resume(held, link, admission, hello, arrival);
    // What begins anew had better do so at the relay that was dialled.
    if (resume?.only === true || admission.passedOn === true) return "session-gone";
    return this.beginning.begin(link, admission, hello, arrival);
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
        ...relaysOf(this.deps),
      }),
    );
    driver.link(link, gone, { peerReceived, told: ledger.received, tripMs });
    this.life.linked(agent, claims);
    log.write({ event: "agent", name, kind, state: "resumed", subject: claims.subject });
    return undefined;
  }
}
