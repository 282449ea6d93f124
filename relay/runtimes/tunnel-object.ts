import { connect } from "cloudflare:sockets";
import { DurableObject } from "cloudflare:workers";
import { type Code, UnderpassError } from "../../shared/errors.ts";
import { Hold } from "../../shared/hold.ts";
import type { Kind } from "../../shared/kind.ts";
import type { Revocations } from "../auth/revocations.ts";
import { Tokens } from "../auth/tokens.ts";
import { Callers } from "../callers.ts";
import { EgressGrants } from "../egress-grants.ts";
import { EventLinks } from "../event-links.ts";
import { Calls } from "../ingress/calls.ts";
import { arrive, FetchIngress } from "../ingress/fetch.ts";
import { FetchLinks } from "../ingress/fetch-links.ts";
import { FetchPosts } from "../ingress/fetch-posts.ts";
import { KeptNames, type NameRecord } from "../kept-names.ts";
import { Metrics } from "../metrics.ts";
import { Reception } from "../reception.ts";
import { Router } from "../router.ts";
import { isCalling } from "../session-home.ts";
import { Suspended } from "../suspended.ts";
import { tunnelUrls } from "../tunnel-urls.ts";
import { Tunnels } from "../tunnels.ts";
import { objectBounds, objectMemory } from "./object-bounds.ts";
import { ObjectClock } from "./object-clock.ts";
import { type FigureDeps, type ObjectFigures, objectFigures } from "./object-figures.ts";
import { ObjectLinks } from "./object-links.ts";
import { ObjectSleep, sessionPrefix } from "./object-sleep.ts";
import { sleepers } from "./object-sleepers.ts";
import { type WorkersEnv, workersConfig } from "./workers-config.ts";
import { workersEgress } from "./workers-egress.ts";
import { offersKind } from "./workers-kinds.ts";
import { consoleLog } from "./workers-log.ts";
import { workersPlatform as platform } from "./workers-platform.ts";
import { type OwnersEnv, workersRevocations } from "./workers-revocations.ts";

/** An object has one name; visitors of others never get here. */
const maxNames = 4;

const recordKey = "name";
/** What goes on by tokens that were revoked ends within this, or when something comes again. */
const revokedWithinMs = 10_000;

/**
 * One tunnel: the links of its agents, and of those that call it; its visitors; and who owns its name. The Worker finds
 * it by that name. While nothing goes on it sleeps, memory and all, and begins anew where it was: ARCHITECTURE.md.
 */
export class TunnelObject extends DurableObject<WorkersEnv & OwnersEnv> {
  private readonly clock: ObjectClock;
  private readonly sleep: ObjectSleep;
  private readonly sockets: ObjectLinks;
  private readonly reception: Reception;
  private readonly router: Router;
  private readonly names: KeptNames;
  private readonly links: FetchLinks;
  private readonly posts: FetchPosts;
  private readonly ingress: FetchIngress;
  private readonly figureDeps: FigureDeps;
  private cancelSweep = () => {};
  private readonly revocations: Revocations;
  private askedMs = 0;

  constructor(ctx: DurableObjectState, env: WorkersEnv & OwnersEnv) {
    super(ctx, env);
    const config = workersConfig(env);
    const { domains, routing, publicUrl } = config;
    const random = (bytes: Uint8Array<ArrayBuffer>) => crypto.getRandomValues(bytes);
    const publicHost = publicUrl === undefined ? undefined : new URL(publicUrl).hostname;
    this.clock = new ObjectClock(ctx.storage);
    this.sleep = new ObjectSleep(ctx, this.clock);
    this.revocations = workersRevocations(env);
    const memory = objectMemory();
    this.sockets = new ObjectLinks(ctx, { clock: this.clock, held: memory.beside });
    this.router = new Router({ domains, routing, publicHost });
    this.names = new KeptNames({ ttlMs: config.nameTtlMs, random, maxNames }, (name, record) =>
      this.keep(name, record),
    );
    const { clock, names, router, sleep } = this;
    const { resumeWindowMs } = config;
    const suspended = new Suspended(memory);
    const tunnels = new Tunnels(names, { memory, suspended, resumeWindowMs });
    const callers = new Callers(suspended, memory);
    const metrics = new Metrics();
    const hold = new Hold({ clock, metrics, held: memory.beside }, objectBounds.hold);
    tunnels.onReady = (name) => hold.tryAgain(name);
    const ways = { clock, memory, tunnels, names, hold, metrics, log: consoleLog };
    const grants = new EgressGrants();
    const door = workersEgress({
      clock,
      connect,
      dnsUrl: config.dnsUrl,
      held: memory.onCredit,
      isOwnName: (name) => this.isOwnName(name),
    });
    const calls = new Calls({
      ...ways,
      mayReach: (claims, target) => grants.reach(claims, target),
      isHog: (owner) => callers.isHog(owner),
      egress: (stream, head, claims, done) => door.open(stream, head, grants.policyOf(claims), done),
    });
    const reception = new Reception({
      ...ways,
      sleep,
      tokens: new Tokens(config.secret, this.revocations),
      callers,
      calls: (agent, stream, fields) => calls.open(agent, stream, fields),
      offers: offersKind,
      maxLinks: objectBounds.maxLinks,
      random,
      urlsOf: (name, kind) => tunnelUrls(name, kind, this.sockets.calledUrl, config),
      resumeWindowMs,
      // Nothing tells an object that it is about to be moved.
      draining: () => false,
    });
    const scheme = publicUrl === undefined ? undefined : publicUrl.startsWith("https:") ? "https" : "http";
    const eventLinks = new EventLinks({ clock, random, memory, bounds: objectBounds.posts });
    const admitted = ({ url }: Request) => {
      this.sockets.calledUrl = new URL(url).origin;
    };
    this.reception = reception;
    this.sleep.onWatch = () => reception.wake();
    const openLink = (headers: Headers) => this.sockets.open(headers);
    this.links = new FetchLinks({ ...ways, platform, openLink, reception, eventLinks, admitted });
    this.posts = new FetchPosts(eventLinks, memory, (code) => reception.refused(code));
    this.ingress = new FetchIngress({ ...ways, router, platform, scheme });
    this.figureDeps = { memory, metrics, sleep, sinceMs: Date.now() };
    void ctx.blockConcurrencyWhile(() => this.begin());
  }

  /** A visitor, or an agent that dials or sends on what it has dialled. */
  async fetch(request: Request): Promise<Response> {
    const arrived = arrive(request, this.router);
    if (arrived.kind === "answered") return arrived.response;
    this.stir();
    const { route, read } = arrived;
    if (route.kind === "tunnel") return this.ingress.visit(request, read, route);
    return this.posts.take(request, read) ?? this.links.dial(request, read);
  }

  /** Called by the Worker for GET /_underpass/objects/NAME. */
  figures(): ObjectFigures {
    return objectFigures(this.figureDeps);
  }

  /** Called by the Worker for POST /_underpass/names: the code of a refusal, as errors lose theirs on the way. */
  claim(name: string, owner: string, kind: Kind): Code | undefined {
    try {
      this.names.claim(name, owner, kind, this.clock.now());
      return undefined;
    } catch (error) {
      if (error instanceof UnderpassError) return error.code;
      throw error;
    }
  }

  // Events of the links' WebSockets.

  webSocketMessage(socket: WorkersSocket, data: string | ArrayBuffer): void {
    this.stir();
    this.sockets.of(socket).takes(data);
  }

  webSocketClose(socket: WorkersSocket, code: number, reason: string): void {
    this.stir();
    this.sockets.of(socket).over(code, reason);
  }

  webSocketError(socket: WorkersSocket): void {
    this.stir();
    this.sockets.of(socket).failed();
  }

  alarm(): void {
    this.stir();
    this.clock.ring();
  }

  /** Something comes: links that have died in their sleep are dropped, and agents whose tokens were revoked told. */
  private stir(): void {
    if (this.sleep.isResting) this.reception.wake();
    const nowMs = this.clock.now();
    if (nowMs - this.askedMs < revokedWithinMs) return;
    this.askedMs = nowMs;
    this.reception
      .lookForRevoked(this.revocations)
      .catch((error) => consoleLog.write({ event: "fault", message: `Revocations: ${error}` }));
  }

  /** Takes up what came to rest before the object slept. */
  private async begin(): Promise<void> {
    const { ctx, clock, names, reception } = this;
    const [kept, alarmMs] = await Promise.all([ctx.storage.list<unknown>(), ctx.storage.getAlarm()]);
    clock.alarmMs = alarmMs ?? undefined;
    const stored = new Map([...kept].filter(([key]) => key.startsWith(sessionPrefix)));
    const links = this.sockets.all();
    const { sleeping, gone } = sleepers(stored.values(), links);
    const record = kept.get(recordKey) as (NameRecord & { readonly name: string }) | undefined;
    if (record !== undefined) {
      const here = sleeping.some(({ state }) => !isCalling(state.kind));
      this.sweepAt(record.lapsesAtMs);
      names.restore(record.name, record, clock.now(), { here });
    }
    const taken = new Set<string>();
    for (const { state, link } of sleeping) {
      try {
        reception.takeUp(state, link);
        if (link === undefined) taken.add(sessionPrefix + state.id);
      } catch (error) {
        // An object that fails to begin would fail each time.
        consoleLog.write({ event: "fault", message: `A session that slept can't be taken up: ${error}` });
        link?.destroy();
      }
    }
    // Of a dial that had come no further nothing is said of any session.
    for (const link of gone)
      if (link.isNew) link.destroy();
      else reception.dismiss(link);
    for (const key of stored.keys()) if (!taken.has(key)) void ctx.storage.delete(key);
    this.sleep.begin(taken);
    const name = ctx.id.name ?? record?.name ?? "";
    const counts = { sessions: sleeping.length, links: links.length, gone: gone.length };
    consoleLog.write({ event: "object", name, state: "awake", ...counts });
  }

  /** The relay is reached by that host name: its own, one of a tunnel, or whatever agents call it by. */
  private isOwnName(name: string): boolean {
    return (
      this.router.route(name, "/").kind !== "unknown" || URL.parse(this.sockets.calledUrl)?.hostname === name
    );
  }

  /** Storage is told at once; what goes out waits for it by itself (output gates). */
  private keep(name: string, record: NameRecord): void {
    void this.ctx.storage.put(recordKey, { ...record, name });
    this.sweepAt(record.lapsesAtMs);
  }

  /** A name that lapses is forgotten then; with it goes the last that an object of no agents keeps. */
  private sweepAt(lapsesAtMs: number | undefined): void {
    this.cancelSweep();
    if (lapsesAtMs === undefined) return;
    this.cancelSweep = this.clock.at(lapsesAtMs, () => {
      this.names.sweep(this.clock.now());
      if (this.names.size > 0) return;
      // Of agents that call sessions may be here without it.
      void this.ctx.storage.delete(recordKey);
    });
  }
}
