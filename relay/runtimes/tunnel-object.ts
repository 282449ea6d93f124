import { DurableObject } from "cloudflare:workers";
import { type Code, UnderpassError } from "../../shared/errors.ts";
import type { Kind } from "../../shared/kind.ts";
import { MessageSocketLink } from "../../shared/links/message-socket.ts";
import { Memory } from "../../shared/mux/memory.ts";
import { Tokens } from "../auth/tokens.ts";
import { readDial, subprotocol } from "../dial.ts";
import { Hold } from "../hold.ts";
import { answerResponse, arrive, FetchIngress } from "../ingress/fetch.ts";
import type { FetchHead } from "../ingress/fetch-head.ts";
import { KeptNames, type NameRecord } from "../kept-names.ts";
import { Metrics } from "../metrics.ts";
import { Reception } from "../reception.ts";
import { Router } from "../router.ts";
import { tunnelUrls } from "../tunnel-urls.ts";
import { Tunnels } from "../tunnels.ts";
import { type WorkersConfig, type WorkersEnv, workersConfig } from "./workers-config.ts";
import { consoleLog } from "./workers-log.ts";
import { workersPlatform as platform, workersClock } from "./workers-platform.ts";

const objectLimits = {
  /** Of the 128 MB that an object has. First windows get half: 1,024 streams. What peers really make it hold is far less. */
  memoryBytes: 134_217_728,
  /** An object has one name; visitors of others never get here. */
  maxNames: 4,
} as const;

const recordKey = "name";
const problem = "application/problem+json";

/** One tunnel: the links of its agents, its visitors, and who owns its name. The Worker finds it by that name. */
export class TunnelObject extends DurableObject<WorkersEnv> {
  private readonly clock = workersClock();
  private readonly config: WorkersConfig;
  private readonly router: Router;
  private readonly names: KeptNames;
  private readonly reception: Reception;
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
    const tunnels = new Tunnels(names, { memory, resumeWindowMs: config.resumeWindowMs });
    const metrics = new Metrics();
    const hold = new Hold({ clock, metrics });
    tunnels.onReady = (name) => hold.tryAgain(name);
    this.reception = new Reception({
      clock,
      tokens: new Tokens(config.secret),
      names,
      tunnels,
      metrics,
      memory,
      log: consoleLog,
      random,
      urlsOf: (name) => tunnelUrls(name, this.calledUrl, config),
      resumeWindowMs: config.resumeWindowMs,
      // Nothing tells an object that it is about to be moved.
      draining: () => false,
    });
    const scheme = publicUrl === undefined ? undefined : publicUrl.startsWith("https:") ? "https" : "http";
    this.ingress = new FetchIngress({
      clock,
      router,
      tunnels,
      names,
      metrics,
      hold,
      log: consoleLog,
      platform,
      scheme,
    });
    void ctx.blockConcurrencyWhile(async () => {
      const record = await ctx.storage.get<NameRecord & { readonly name: string }>(recordKey);
      if (record !== undefined) names.restore(record.name, record, clock.now());
    });
  }

  /** A visitor, or an agent that dials. */
  async fetch(request: Request): Promise<Response> {
    const arrived = arrive(request, this.router);
    if (arrived.kind === "answered") return arrived.response;
    const { route, read } = arrived;
    return route.kind === "tunnel" ? this.ingress.visit(request, read, route) : this.link(request, read);
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

  private async link(request: Request, { head }: FetchHead): Promise<Response> {
    try {
      const { name, session, token } = readDial(head.fields, head.target);
      const admission = await this.reception.admit(name, token, session);
      this.calledUrl = new URL(request.url).origin;
      const { socket, response } = platform.upgrade(new Headers({ "Sec-WebSocket-Protocol": subprotocol }));
      this.reception.receive(new MessageSocketLink(socket, { clock: this.clock }), admission);
      return response;
    } catch (error) {
      if (!(error instanceof UnderpassError)) consoleLog.write({ event: "fault", message: String(error) });
      const known = error instanceof UnderpassError ? error : new UnderpassError("internal-error");
      return answerResponse(known.code, { accept: problem, detail: known.message }, request.method);
    }
  }

  /** Storage is told at once; what goes out waits for it by itself (output gates). */
  private keep(name: string, record: NameRecord): void {
    void this.ctx.storage.put(recordKey, { ...record, name });
    void this.ctx.storage.setAlarm(this.clock.now() + this.config.nameTtlMs);
  }
}
