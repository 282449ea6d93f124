import type { Hono } from "hono";
import { type Code, UnderpassError } from "../../shared/errors.ts";
import type { Kind } from "../../shared/kind.ts";
import { isName } from "../../shared/name.ts";
import { type ControlEnv, controlPlane } from "../app.ts";
import { Tokens } from "../auth/tokens.ts";
import { linkPath } from "../dial.ts";
import { postPath } from "../ingress/event-posts.ts";
import { answerResponse, arrive } from "../ingress/fetch.ts";
import { Metrics } from "../metrics.ts";
import { randomName } from "../random-name.ts";
import { Router } from "../router.ts";
import type { ObjectFigures } from "./object-figures.ts";
import { OwnerObject } from "./owner-object.ts";
import { TunnelObject } from "./tunnel-object.ts";
import { type WorkersEnv, workersConfig } from "./workers-config.ts";
import { offersKind } from "./workers-kinds.ts";
import { consoleLog } from "./workers-log.ts";
import { type OwnersEnv, workersRevocations } from "./workers-revocations.ts";

interface Env extends WorkersEnv, OwnersEnv {
  readonly TUNNELS: {
    idFromName(name: string): unknown;
    get(id: unknown): TunnelStub;
  };
}

/** A tunnel's object, wherever it runs. */
interface TunnelStub {
  fetch(request: Request): Promise<Response>;
  claim(name: string, owner: string, kind: Kind): Promise<Code | undefined>;
  figures(): Promise<ObjectFigures>;
}

/** A random name is practically never taken. */
const maxDraws = 4;

/** The Worker in front: finds the object of each request's tunnel, and answers for the relay's own host. */
class Front {
  private readonly router: Router;
  private readonly app: Hono<ControlEnv>;

  constructor(private readonly env: Env) {
    const { domains, routing, publicUrl, secret } = workersConfig(env);
    const publicHost = publicUrl === undefined ? undefined : new URL(publicUrl).hostname;
    this.router = new Router({ domains, routing, publicHost });
    const revocations = workersRevocations(env);
    this.app = controlPlane({
      tokens: new Tokens(secret, revocations),
      revoke: (owner) => revocations.revoke(owner, Date.now()),
      names: { claim: (name, owner, kind) => this.claim(name, owner, kind) },
      // Each isolate of a Worker counts for itself, and the objects do the work: there is no figure worth reading here.
      metrics: new Metrics(),
      state: () => "ready",
      now: () => Date.now(),
      date: () => Date.now(),
      behindProxy: true,
      objectFigures: (name) => this.tunnel(name).figures(),
      fault: (error) => consoleLog.write({ event: "fault", message: error.message }),
    });
  }

  async fetch(request: Request): Promise<Response> {
    const arrived = arrive(request, this.router);
    if (arrived.kind === "answered") return arrived.response;
    const { route, read } = arrived;
    if (route.kind === "tunnel") return this.tunnel(route.name).fetch(request);
    const { head } = read;
    const place = head.method === "GET" ? linkPath(head.target) : postPath(head, head.target);
    if (place !== undefined) return this.tunnel(place.name).fetch(request);
    return this.app.fetch(request, { remote: read.remote });
  }

  private tunnel(name: string): TunnelStub {
    const { TUNNELS } = this.env;
    return TUNNELS.get(TUNNELS.idFromName(name));
  }

  private async claim(asked: string | undefined, owner: string, kind: Kind): Promise<string> {
    if (!offersKind(kind)) throw new UnderpassError("kind-unavailable");
    // Not even looked for: each name that is makes an object.
    if (asked !== undefined && !isName(asked)) throw new UnderpassError("name-invalid");
    let refusal: Code | undefined;
    for (let draw = 0; draw < (asked === undefined ? maxDraws : 1); draw++) {
      const name = asked ?? randomName((bytes) => crypto.getRandomValues(bytes));
      refusal = await this.tunnel(name).claim(name, owner, kind);
      if (refusal === undefined) return name;
      if (refusal !== "name-taken") break;
    }
    throw new UnderpassError(refusal ?? "internal-error");
  }
}

/** One for each environment that the platform hands in, which is one in an isolate's life. */
const fronts = new WeakMap<Env, Front>();

const worker = {
  async fetch(request: Request, env: Env): Promise<Response> {
    try {
      let front = fronts.get(env);
      if (front === undefined) fronts.set(env, (front = new Front(env)));
      return await front.fetch(request);
    } catch (error) {
      const known = error instanceof UnderpassError ? error : new UnderpassError(codeOf(error));
      const message = error instanceof Error ? error.message : String(error);
      consoleLog.write({ event: "fault", message });
      const accept = request.headers.get("accept") ?? "";
      return answerResponse(known.code, { accept, detail: known.message }, request.method);
    }
  },
};

/** The platform marks what it throws when an object was ended under a request. */
function codeOf(error: unknown): Code {
  const { durableObjectReset } = error as { readonly durableObjectReset?: boolean };
  return durableObjectReset === true ? "link-lost" : "internal-error";
}

export { OwnerObject, TunnelObject };
export default worker;
