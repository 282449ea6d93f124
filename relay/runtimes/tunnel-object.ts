import { DurableObject } from "cloudflare:workers";
import { type Code, UnderpassError } from "../../shared/errors.ts";
import { Hold } from "../../shared/hold.ts";
import type { Kind } from "../../shared/kind.ts";
import { Memory } from "../../shared/mux/memory.ts";
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
import { Suspended } from "../suspended.ts";
import { tunnelUrls } from "../tunnel-urls.ts";
import { Tunnels } from "../tunnels.ts";
import { type WorkersConfig, type WorkersEnv, workersConfig } from "./workers-config.ts";
import { offersKind } from "./workers-kinds.ts";
import { consoleLog } from "./workers-log.ts";
import { workersPlatform as platform, workersClock } from "./workers-platform.ts";

const objectLimits = {
  /** Of the 128 MB that an object has. First windows get half: 1,024 streams. What peers really make it hold is far less. */
  memoryBytes: 134_217_728,
  /** An object has one name; visitors of others never get here. */
  maxNames: 4,
} as const;

const recordKey = "name";

/** One tunnel: the links of its agents, and of those that call it; its visitors; and who owns its name. The Worker finds it by that name. */
export class TunnelObject extends DurableObject<WorkersEnv> {
  private readonly clock = workersClock();
  private readonly config: WorkersConfig;
  private readonly router: Router;
  private readonly names: KeptNames;
  private readonly links: FetchLinks;
  private readonly posts: FetchPosts;
  private readonly ingress: FetchIngress;
  /** How the last agent called the relay; addresses are made of it where there is no public URL. */
  private calledUrl = "";

  constructor(ctx: DurableObjectState, env: WorkersEnv) {
    super(ctx, env);
    const config = workersConfig(env);
    const { domains, routing, publicUrl } = config;
    const random = (bytes: Uint8Array<ArrayBuffer>) => crypto.getRandomValues(bytes);
    const publicHost = publicUrl === undefined ? undefined : new URL(publicUrl).hostname;
    this.config = config;
    this.router = new Router({ domains, routing, publicHost });
    this.names = new KeptNames(
      { ttlMs: config.nameTtlMs, random, maxNames: objectLimits.maxNames },
      (name, record) => this.keep(name, record),
    );
    const { clock, names, router } = this;
    const memory = new Memory(objectLimits.memoryBytes);
    const { resumeWindowMs } = config;
    const suspended = new Suspended(memory);
    const tunnels = new Tunnels(names, { memory, suspended, resumeWindowMs });
    const callers = new Callers(suspended, memory);
    const metrics = new Metrics();
    const hold = new Hold({ clock, metrics });
    tunnels.onReady = (name) => hold.tryAgain(name);
    const ways = { clock, tunnels, names, hold, metrics, log: consoleLog };
    const grants = new EgressGrants();
    const calls = new Calls({
      ...ways,
      mayReach: (claims, target) => grants.reach(claims, target),
      isHog: (owner) => callers.isHog(owner),
    });
    const reception = new Reception({
      ...ways,
      tokens: new Tokens(config.secret),
      callers,
      calls: (agent, stream, fields) => calls.open(agent, stream, fields),
      offers: offersKind,
      memory,
      random,
      urlsOf: (name, kind) => tunnelUrls(name, kind, this.calledUrl, config),
      resumeWindowMs,
      // Nothing tells an object that it is about to be moved.
      draining: () => false,
    });
    const scheme = publicUrl === undefined ? undefined : publicUrl.startsWith("https:") ? "https" : "http";
    const eventLinks = new EventLinks({ clock, random });
    const admitted = ({ url }: Request) => {
      this.calledUrl = new URL(url).origin;
    };
    this.links = new FetchLinks({ clock, log: consoleLog, platform, reception, eventLinks, admitted });
    this.posts = new FetchPosts(eventLinks, (code) => reception.refused(code));
    this.ingress = new FetchIngress({ ...ways, router, platform, scheme });
    void ctx.blockConcurrencyWhile(async () => {
      const record = await ctx.storage.get<NameRecord & { readonly name: string }>(recordKey);
      if (record !== undefined) names.restore(record.name, record, clock.now());
    });
  }

  /** A visitor, or an agent that dials or sends on what it has dialled. */
  async fetch(request: Request): Promise<Response> {
    const arrived = arrive(request, this.router);
    if (arrived.kind === "answered") return arrived.response;
    const { route, read } = arrived;
    if (route.kind === "tunnel") return this.ingress.visit(request, read, route);
    return this.posts.take(request, read) ?? this.links.dial(request, read);
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

  /** A name that may have lapsed. */
  async alarm(): Promise<void> {
    this.names.sweep(this.clock.now());
    if (this.names.size === 0) await this.ctx.storage.deleteAll();
    else await this.ctx.storage.setAlarm(this.clock.now() + this.config.nameTtlMs);
  }

  /** Storage is told at once; what goes out waits for it by itself (output gates). */
  private keep(name: string, record: NameRecord): void {
    void this.ctx.storage.put(recordKey, { ...record, name });
    void this.ctx.storage.setAlarm(this.clock.now() + this.config.nameTtlMs);
  }
}
