import type { Clock } from "../shared/clock.ts";
import { Driver } from "../shared/driver.ts";
import { type Code, codes, UnderpassError, wireNumber } from "../shared/errors.ts";
import { type Hello, readHello, writeWelcome } from "../shared/handshake.ts";
import type { Link } from "../shared/link.ts";
import { MessageWriter } from "../shared/mux/frame.ts";
import { limits } from "../shared/mux/limits.ts";
import type { Memory } from "../shared/mux/memory.ts";
import { Session } from "../shared/mux/session.ts";
import type { Claims } from "./auth/claims.ts";
import type { Tokens } from "./auth/tokens.ts";
import { grantName } from "./grant.ts";
import type { RelayLog } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import type { Names } from "./names.ts";
import type { AgentSession, Tunnels } from "./tunnels.ts";

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
  /** No new agents: the relay is stopping. */
  readonly draining: () => boolean;
}

/** An agent that may have a link for a name, before the link is there. */
export interface Admission {
  readonly name: string;
  readonly claims: Claims;
}

const receptionLimits = {
  helloWithinMs: 10_000,
  /** Links for which no session exists yet. */
  maxPending: 4_096,
  maxLinks: 60_000,
  /** How long streams of a session that was superseded may go on. */
  supersededGraceMs: 30_000,
  resumeWindowMs: 60_000,
} as const;

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
  async admit(name: string, token: string | undefined): Promise<Admission> {
    const { deps } = this;
    if (deps.draining()) throw new UnderpassError("going-away");
    if (token === undefined)
      throw new UnderpassError("unauthorized", "A token is needed: Authorization: Bearer JWT.");
    if (this.pending >= receptionLimits.maxPending || this.linkCount >= receptionLimits.maxLinks)
      throw new UnderpassError("too-many-links");
    const claims = await deps.tokens.verify(token, deps.clock.date());
    grantName(deps.names, claims, { kind: "http", name }, deps.clock.now());
    return { name, claims };
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
      refuseLink(link, code, gone);
    };
    const cancel = clock.at(clock.now() + receptionLimits.helloWithinMs, () => refuse("handshake-timeout"));
    link.handler = {
      message: (bytes) => {
        const hello = readHello(bytes);
        if (hello.kind === "goaway") return link.destroy();
        if (hello.kind === "fault") return refuse(hello.code);
        settle();
        this.welcome(link, admission, hello.value, { gone, tripMs: clock.now() - openedMs });
      },
      text: () => refuse("protocol-error"),
      drained() {},
      closed: gone,
    };
  }

  private welcome(
    link: Link,
    admission: Admission,
    hello: Hello,
    arrival: { readonly gone: () => void; readonly tripMs: number },
  ): void {
    const { gone, tripMs } = arrival;
    const { deps } = this;
    const { name, claims } = admission;
    const { clock, tunnels, metrics } = deps;
    const nowMs = clock.now();
    try {
      // Between the dial and the HELLO the name may have become somebody else's.
      grantName(deps.names, claims, { kind: hello.kind, name }, nowMs);
    } catch (error) {
      refuseLink(link, error instanceof UnderpassError ? error.code : "internal-error", gone);
      return;
    }
    if (tunnels.isSuperseded(name, hello.instance, nowMs)) {
      refuseLink(link, "superseded", gone);
      return;
    }
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
    let cancelExpiry = () => {};
    let agent: AgentSession | undefined;
    const driver = new Driver(
      session,
      link,
      clock,
      {
        // Nothing that an agent may open is served yet: the kinds that need it come with their own ingress.
        opened: () => undefined,
        goaway: () => {
          if (agent !== undefined) agent.leaving = true;
        },
        over: (code) => {
          cancelExpiry();
          agent?.cancelGrace?.();
          metrics.sessions--;
          if (agent !== undefined) tunnels.remove(name, agent, clock.now());
          metrics.tunnels = tunnels.size;
          deps.log.write({ event: "agent", name, state: "gone", code });
        },
        closed: gone,
      },
      { pings: false },
    );
    agent = { driver, instance: hello.instance, slot: hello.slot, generation: 0, leaving: false };
    const { generation, superseded, replaced } = tunnels.add(name, agent, {
      join: hello.join === true,
      nowMs,
    });
    link.send(
      writeWelcome({
        version: 1,
        features: [],
        session: base64url(deps.random(new Uint8Array(16))),
        secret: base64url(deps.random(new Uint8Array(32))),
        resumed: false,
        first: 1,
        received: 0,
        window: limits.initialWindowBytes,
        streams: limits.maxStreams,
        generation,
        resumeWindowMs: receptionLimits.resumeWindowMs,
        urls: deps.urlsOf(name),
      }),
    );
    metrics.sessions++;
    metrics.tunnels = tunnels.size;
    deps.log.write({ event: "agent", name, state: "here", subject: claims.subject });
    for (const old of superseded) this.supersede(old);
    for (const old of replaced) old.driver.session.lost("link-lost");
    cancelExpiry = this.atExpiry(claims.expiresAtMs, agent);
  }

  private supersede(old: AgentSession): void {
    const { clock } = this.deps;
    old.driver.session.goaway(
      "drain",
      "superseded",
      receptionLimits.supersededGraceMs,
      codes.superseded.meaning,
    );
    old.cancelGrace = clock.at(clock.now() + receptionLimits.supersededGraceMs, () =>
      old.driver.close("superseded"),
    );
  }

  /** At `exp` of a live session: GOAWAY `token-expired`. Timers hold at most 24.8 days, so the wait is cut. */
  private atExpiry(expiresAtMs: number, agent: AgentSession): () => void {
    const { clock } = this.deps;
    const leftMs = expiresAtMs - clock.date();
    const stepMs = Math.min(Math.max(leftMs, 0), 86_400_000);
    let cancel = clock.at(clock.now() + stepMs, () => {
      if (leftMs > stepMs) cancel = this.atExpiry(expiresAtMs, agent);
      else agent.driver.session.goaway("error", "token-expired", 0, codes["token-expired"].meaning);
    });
    return () => cancel();
  }
}

/** Says GOAWAY on a link that has no session, and closes it. */
function refuseLink(link: Link, code: Code, gone: () => void): void {
  const writer = new MessageWriter(64);
  writer.goaway(2, wireNumber(code), 0, 0, new Uint8Array(0));
  link.handler = { message() {}, text() {}, drained() {}, closed: gone };
  link.send(writer.finish());
  link.close(codes[code].close ?? 1008, code);
}

function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}
