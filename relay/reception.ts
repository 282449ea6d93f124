import { base64url } from "../shared/base64url.ts";
import type { Clock } from "../shared/clock.ts";
import { Driver } from "../shared/driver.ts";
import { type Code, codes, UnderpassError } from "../shared/errors.ts";
import { type Hello, readHello, writeGoaway, writeWelcome } from "../shared/handshake.ts";
import type { Link } from "../shared/link.ts";
import { limits } from "../shared/mux/limits.ts";
import type { Memory } from "../shared/mux/memory.ts";
import { Session } from "../shared/mux/session.ts";
import { isProof } from "../shared/proof.ts";
import type { AgentSession } from "./agent-session.ts";
import { type Claims, ownerOf } from "./auth/claims.ts";
import type { Tokens } from "./auth/tokens.ts";
import { grantName } from "./grant.ts";
import type { RelayLog } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import type { Names } from "./names.ts";
import type { Tunnels } from "./tunnels.ts";

export interface ReceptionDeps {
  readonly clock: Clock;
  readonly tokens: Tokens;
  readonly names: Names;
  readonly tunnels: Tunnels;
  readonly metrics: Metrics;
  readonly memory: Memory;
  readonly log: RelayLog;
  readonly random: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>;
  /** The public addresses of a tunnel. */
  readonly urlsOf: (name: string) => string[];
  /** How long a session waits for another link. */
  readonly resumeWindowMs: number;
  /** No new agents: the relay is stopping. */
  readonly draining: () => boolean;
}

/** An agent that may have a link for a name, before the link is there. */
export interface Admission {
  readonly name: string;
  readonly claims: Claims;
  /** The id of the session to resume, from the dial's path. */
  readonly session?: string | undefined;
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
  async admit(name: string, token: string | undefined, session?: string): Promise<Admission> {
    const { deps } = this;
    // A session that is finishing its streams here can be resumed nowhere else.
    const held = session !== undefined && deps.tunnels.session(session) !== undefined;
    if (deps.draining() && !held) throw new UnderpassError("going-away");
    if (token === undefined)
      throw new UnderpassError("unauthorized", "A token is needed: Authorization: Bearer JWT.");
    if (this.pending >= receptionLimits.maxPending || this.linkCount >= receptionLimits.maxLinks)
      throw new UnderpassError("too-many-links");
    const claims = await deps.tokens.verify(token, deps.clock.date());
    if (deps.tunnels.hasOther(name, ownerOf(claims))) throw new UnderpassError("name-taken");
    grantName(deps.names, claims, { kind: "http", name }, deps.clock.now());
    return { name, claims, session };
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
    if (resume?.session !== admission.session) return "protocol-error";
    const held = resume && this.deps.tunnels.session(resume.session);
    if (held !== undefined) return this.resume(held, link, admission, hello, arrival);
    if (resume?.only === true) return "session-gone";
    return this.begin(link, admission, hello, arrival);
  }

  /** PROTOCOL.md section 3.1, steps 2 and 3. */
  private resume(
    agent: AgentSession,
    link: Link,
    { name, claims }: Admission,
    { instance, slot, attempt, received, resume }: Hello,
    { gone, tripMs }: Arrival,
  ): Code | undefined {
    const { log, urlsOf, tunnels, resumeWindowMs } = this.deps;
    const { driver, id, secret } = agent;
    const { ledger } = driver.session;
    const isSame =
      agent.name === name &&
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
        urls: urlsOf(name),
        resumeWindowMs,
      }),
    );
    driver.link(link, gone, { peerReceived, told: ledger.received, tripMs });
    this.expireWith(claims, agent);
    this.tellDoubts(agent);
    tunnels.changed(agent);
    log.write({ event: "agent", name, state: "resumed", subject: claims.subject });
    return undefined;
  }

  private begin(
    link: Link,
    { name, claims }: Admission,
    hello: Hello,
    { gone, tripMs }: Arrival,
  ): Code | undefined {
    const { deps } = this;
    const { clock, tunnels, metrics, random, resumeWindowMs } = deps;
    const { instance, slot, attempt, join } = hello;
    const nowMs = clock.now();
    // What would have resumed a session of a relay that is leaving must not begin one here.
    if (deps.draining()) return "going-away";
    try {
      // Between the dial and the HELLO the name may have become somebody else's.
      grantName(deps.names, claims, { kind: hello.kind, name }, nowMs);
    } catch (error) {
      return error instanceof UnderpassError ? error.code : "internal-error";
    }
    const owner = ownerOf(claims);
    // Whatever has become of the name's record: who has sessions here has the name.
    if (tunnels.hasOther(name, owner)) return "name-taken";
    if (tunnels.isSuperseded(name, instance, nowMs) || attempt <= tunnels.lastAttempt(name, hello))
      return "superseded";
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
        // Nothing that an agent may open is served yet: the kinds that need it come with their own ingress.
        opened: () => undefined,
        goaway: (kind, _code, graceMs) => {
          if (kind !== "bye") return;
          tunnels.saidBye(agent, clock.now());
          const { maxByeGraceMs, byeMarginMs } = receptionLimits;
          this.endWithin(agent, Math.min(graceMs, maxByeGraceMs) + byeMarginMs, "goodbye");
        },
        linkState: (state) => {
          // Nobody comes back for a session that has said goodbye and is at rest.
          if (state === "lost" && agent.saidBye && session.resting) session.lost("goodbye");
          tunnels.changed(agent);
          if (state === "suspect") this.tellDoubt(agent);
        },
        doubted() {},
        progress: () => tunnels.changed(agent),
        over: (code) => this.over(agent, code),
      },
      { pingsWhenIdle: false, resumeWindowMs },
    );
    const id = base64url(random(new Uint8Array(16)));
    const secret = base64url(random(new Uint8Array(32)));
    const agent: AgentSession = {
      ...{ id, secret, name, owner, driver, instance, slot, attempt },
      ...{ generation: 0, leaving: false, saidBye: false, graceUntilMs: Number.POSITIVE_INFINITY },
    };
    const { superseded, replaced } = tunnels.add(agent, { join: join === true, nowMs });
    const counts = { resumed: false, first: 1, received: 0 };
    link.send(
      writeWelcome({
        ...{ ...counts, ...given, session: id, secret },
        ...{ generation: agent.generation, urls: deps.urlsOf(name), resumeWindowMs },
      }),
    );
    metrics.sessions++;
    metrics.tunnels = tunnels.size;
    deps.log.write({ event: "agent", name, state: "here", subject: claims.subject });
    for (const old of superseded) this.retire(old, "superseded");
    for (const old of replaced) old.driver.session.lost("session-gone");
    this.expireWith(claims, agent);
    driver.link(link, gone);
    this.tellDoubts(agent);
    tunnels.changed(agent);
    return undefined;
  }

  private over(agent: AgentSession, code: Code): void {
    const { tunnels, metrics, log, clock } = this.deps;
    agent.cancelExpiry?.();
    agent.cancelGrace?.();
    metrics.sessions--;
    tunnels.remove(agent, clock.now());
    metrics.tunnels = tunnels.size;
    log.write({ event: "agent", name: agent.name, state: "gone", code });
  }

  /** Only the agent can dial: it is told over another of its sessions. */
  private tellDoubt({ name, instance, slot }: AgentSession): void {
    for (const { driver } of this.deps.tunnels.siblings(name, instance))
      if (driver.isUp) driver.session.doubt(slot);
  }

  /** A session has a link: its siblings may have lost theirs without the agent's knowing. */
  private tellDoubts({ name, instance, driver }: AgentSession): void {
    for (const sibling of this.deps.tunnels.siblings(name, instance))
      if (!sibling.driver.isUp) driver.session.doubt(sibling.slot);
  }

  /** No new streams; those that are open have their grace, on this link or another. */
  private retire(agent: AgentSession, code: Code): void {
    const { tunnels } = this.deps;
    const { retireGraceMs } = receptionLimits;
    agent.leaving = true;
    agent.driver.goaway("drain", code, retireGraceMs);
    this.endWithin(agent, retireGraceMs, code);
    tunnels.changed(agent);
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
