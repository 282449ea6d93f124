import { base64url } from "../shared/base64url.ts";
import type { Clock } from "../shared/clock.ts";
import { Driver } from "../shared/driver.ts";
import { type Code, codes, UnderpassError } from "../shared/errors.ts";
import { type Hello, readHello, writeGoaway, writeWelcome } from "../shared/handshake.ts";
import { egressFeature, type SessionKind } from "../shared/kind.ts";
import type { Link } from "../shared/link.ts";
import { limits } from "../shared/mux/limits.ts";
import type { Memory } from "../shared/mux/memory.ts";
import { Session } from "../shared/mux/session.ts";
import type { Stream, StreamHandler } from "../shared/mux/stream.ts";
import { isProof } from "../shared/proof.ts";
import { type Admission, type AdmissionDeps, checkRight } from "./admission.ts";
import type { AgentSession } from "./agent-session.ts";
import { type Claims, ownerOf } from "./auth/claims.ts";
import type { Tokens } from "./auth/tokens.ts";
import type { Callers } from "./callers.ts";
import type { DialPlace } from "./dial.ts";
import type { RelayLog } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import { isCalling, type SessionHome } from "./session-home.ts";

export interface ReceptionDeps extends AdmissionDeps {
  readonly clock: Clock;
  readonly tokens: Tokens;
  readonly callers: Callers;
  /** Takes the streams that an agent opens. */
  readonly calls: (agent: AgentSession, stream: Stream, fields: Uint8Array) => StreamHandler;
  readonly metrics: Metrics;
  readonly memory: Memory;
  readonly log: RelayLog;
  readonly random: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>;
  /** The public addresses of a tunnel. */
  readonly urlsOf: (name: string, kind: SessionKind) => string[];
  /** How long a session waits for another link. */
  readonly resumeWindowMs: number;
  /** No new agents: the relay is stopping. */
  readonly draining: () => boolean;
}

/** What became of a link that has said HELLO. */
interface Arrival {
  /** The link is gone, whoever used it. */
  readonly gone: () => void;
  /** What the agent took to answer the 101. */
  readonly tripMs: number;
}

const receptionLimits = {
  /** An agent that said goodbye has its grace, and what the last words take. */
  byeMarginMs: 2_000,
  maxByeGraceMs: 300_000,
  helloWithinMs: 10_000,
  /** Links for which no session exists yet. */
  maxPending: 4_096,
  maxLinks: 60_000,
  /** How long streams of a session that was superseded, or whose token has expired, may go on. */
  retireGraceMs: 30_000,
} as const;

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

  constructor(private readonly deps: ReceptionDeps) {}

  /** A dial was refused. */
  refused(code: Code): void {
    this.deps.metrics.refused(code);
  }

  /** Checks a dial before the link is opened. Rejects with the refusal; nothing is kept of one. */
  async admit({ name, kind, session }: DialPlace, token: string | undefined): Promise<Admission> {
    const { deps } = this;
    // A session that is finishing its streams here can be resumed nowhere else.
    const held = session === undefined ? undefined : this.held(session);
    if (deps.draining() && held === undefined) throw new UnderpassError("going-away");
    if (token === undefined)
      throw new UnderpassError("unauthorized", "The relay wants a token: give one by --token-file.");
    if (this.pending >= receptionLimits.maxPending || this.linkCount >= receptionLimits.maxLinks)
      throw new UnderpassError("too-many-links");
    const claims = await deps.tokens.verify(token, deps.clock.date());
    if (held === undefined && isCalling(kind) && deps.callers.isFull(ownerOf(claims)))
      throw new UnderpassError("too-many-links");
    const hasPort = kind === "tcp" || kind === "udp";
    // Who resumes what has lost the name since, or is only to join what carries something else, must not change what the name
    // is for: that would cost it its port.
    const asks = held !== undefined ? held.leaving : !hasPort && deps.tunnels.hasOtherKind(name, kind);
    checkRight(deps, claims, { name, kind }, deps.clock.now(), { asks });
    if (hasPort && !asks) await deps.ports?.open(name, ownerOf(claims), kind);
    return { name, kind, claims, session };
  }

  /** Waits for HELLO on an open link, welcomes the agent, and drives the session. */
  receive(link: Link, admission: Admission): void {
    const { clock, metrics } = this.deps;
    this.pending++;
    this.linkCount++;
    metrics.links++;
    const openedMs = clock.now();
    let waiting = true;
    const settle = () => {
      if (!waiting) return;
      waiting = false;
      this.pending--;
      cancel();
    };
    const gone = () => {
      settle();
      this.linkCount--;
      metrics.links--;
    };
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
        settle();
        const arrival = { gone, tripMs: clock.now() - openedMs };
        const refusal = this.answer(link, admission, hello.value, arrival);
        if (refusal !== undefined) refuse(refusal);
      },
      text: () => refuse("protocol-error"),
      drained() {},
      closed: gone,
    };
  }

  /** Resumes a session, or begins one. Returns why not. */
  private answer(link: Link, admission: Admission, hello: Hello, arrival: Arrival): Code | undefined {
    const { resume } = hello;
    if (resume?.session !== admission.session || hello.kind !== admission.kind) return "protocol-error";
    const held = resume && this.held(resume.session);
    if (held !== undefined) return this.resume(held, link, admission, hello, arrival);
    if (resume?.only === true) return "session-gone";
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
      }),
    );
    driver.link(link, gone, { peerReceived, told: ledger.received, tripMs });
    agent.claims = claims;
    this.expireWith(claims, agent);
    this.tellDoubts(agent);
    this.home(kind).changed(agent);
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
    const { clock, tunnels, metrics, random, resumeWindowMs } = deps;
    const { instance, slot, attempt, join } = hello;
    const home = this.home(kind);
    const nowMs = clock.now();
    // What would have resumed a session of a relay that is leaving must not begin one here.
    if (deps.draining()) return "going-away";
    if (join === true && !isCalling(kind) && tunnels.hasOtherKind(name, kind)) return "kind-forbidden";
    try {
      // Between the dial and the HELLO the name may have become somebody else's.
      checkRight(deps, claims, { name, kind }, nowMs);
    } catch (error) {
      return error instanceof UnderpassError ? error.code : "internal-error";
    }
    const owner = ownerOf(claims);
    const place = { name, owner, kind, instance, slot };
    if (home.isSuperseded(name, instance, nowMs) || attempt <= home.lastAttempt(place)) return "superseded";
    const session = new Session(
      {
        side: "relay",
        window: limits.initialWindowBytes,
        peerWindow: hello.window,
        streams: limits.maxStreams,
        peerStreams: hello.streams,
        memory: deps.memory,
        tripMs,
      },
      nowMs,
    );
    const driver = new Driver(
      session,
      clock,
      {
        opened: (stream, fields) => deps.calls(agent, stream, fields),
        goaway: (kind, _code, graceMs) => {
          if (kind !== "bye") return;
          home.saidBye(agent, clock.now());
          const { maxByeGraceMs, byeMarginMs } = receptionLimits;
          this.endWithin(agent, Math.min(graceMs, maxByeGraceMs) + byeMarginMs, "goodbye");
        },
        linkState: (state) => {
          // Nobody comes back for a session that has said goodbye and is at rest.
          if (state === "lost" && agent.saidBye && session.resting) session.lost("goodbye");
          home.changed(agent);
          if (state === "suspect") this.tellDoubt(agent);
        },
        doubted() {},
        progress: () => home.changed(agent),
        over: (code) => this.over(agent, code),
      },
      { pingsWhenIdle: false, resumeWindowMs },
    );
    const id = base64url(random(new Uint8Array(16)));
    const secret = base64url(random(new Uint8Array(32)));
    const agent: AgentSession = {
      ...{ ...place, id, secret, driver, attempt, claims },
      offersEgress: hello.features.includes(egressFeature),
      ...{ generation: 0, leaving: false, saidBye: false, graceUntilMs: Number.POSITIVE_INFINITY },
    };
    const { superseded, replaced } = home.add(agent, { join: join === true, nowMs });
    const counts = { resumed: false, first: 1, received: 0 };
    link.send(
      writeWelcome({
        ...{ ...counts, ...given, session: id, secret },
        features: agent.offersEgress ? [egressFeature] : [],
        ...{ generation: agent.generation, urls: deps.urlsOf(name, kind), resumeWindowMs },
      }),
    );
    metrics.sessions++;
    metrics.tunnels = tunnels.size;
    deps.log.write({ event: "agent", name, kind, state: "here", subject: claims.subject });
    for (const old of superseded) this.retire(old, "superseded");
    for (const old of replaced) old.driver.session.lost("session-gone");
    this.expireWith(claims, agent);
    driver.link(link, gone);
    this.tellDoubts(agent);
    home.changed(agent);
    return undefined;
  }

  private held(session: string): AgentSession | undefined {
    return this.deps.tunnels.session(session) ?? this.deps.callers.session(session);
  }

  private home(kind: SessionKind): SessionHome {
    return isCalling(kind) ? this.deps.callers : this.deps.tunnels;
  }

  private over(agent: AgentSession, code: Code): void {
    const { tunnels, metrics, log, clock } = this.deps;
    agent.cancelExpiry?.();
    agent.cancelGrace?.();
    metrics.sessions--;
    this.home(agent.kind).remove(agent, clock.now());
    metrics.tunnels = tunnels.size;
    log.write({ event: "agent", name: agent.name, kind: agent.kind, state: "gone", code });
  }

  /** Only the agent can dial: it is told over another of its sessions. */
  private tellDoubt(agent: AgentSession): void {
    for (const { driver } of this.home(agent.kind).siblings(agent))
      if (driver.isUp) driver.session.doubt(agent.slot);
  }

  /** A session has a link: its siblings may have lost theirs without the agent's knowing. */
  private tellDoubts(agent: AgentSession): void {
    for (const sibling of this.home(agent.kind).siblings(agent))
      if (!sibling.driver.isUp) agent.driver.session.doubt(sibling.slot);
  }

  /** No new streams; those that are open have their grace, on this link or another. */
  private retire(agent: AgentSession, code: Code): void {
    const { retireGraceMs } = receptionLimits;
    agent.leaving = true;
    agent.driver.goaway("drain", code, retireGraceMs);
    this.endWithin(agent, retireGraceMs, code);
    this.home(agent.kind).changed(agent);
  }

  /** It ends in `graceMs`, unless it does before. */
  private endWithin(agent: AgentSession, graceMs: number, code: Code): void {
    const { clock } = this.deps;
    const untilMs = clock.now() + graceMs;
    if (untilMs >= agent.graceUntilMs) return;
    agent.graceUntilMs = untilMs;
    agent.cancelGrace?.();
    agent.cancelGrace = clock.at(untilMs, () => agent.driver.close(code));
  }

  private expireWith({ expiresAtMs }: Claims, agent: AgentSession): void {
    agent.cancelExpiry?.();
    agent.cancelExpiry = this.atExpiry(expiresAtMs, agent);
  }

  private atExpiry(expiresAtMs: number, agent: AgentSession): () => void {
    const { clock } = this.deps;
    const leftMs = expiresAtMs - clock.date();
    const stepMs = Math.min(Math.max(leftMs, 0), 86_400_000);
    let cancel = clock.at(clock.now() + stepMs, () => {
      if (leftMs > stepMs) cancel = this.atExpiry(expiresAtMs, agent);
      else this.retire(agent, "token-expired");
    });
    return () => cancel();
  }
}

/** Says GOAWAY on a link that has no session, and closes it. */
function refuseLink(link: Link, code: Code, gone: () => void): void {
  link.handler = { heard() {}, message() {}, text() {}, drained() {}, closed: gone };
  link.send(writeGoaway("error", code));
  link.close(codes[code].close ?? 1008, code);
}
