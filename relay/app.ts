import { LimitedBytesTransformStream, toText } from "@std/streams";
import { type Context, Hono } from "hono";
import * as v from "valibot";
import { type Code, codes, UnderpassError } from "../shared/errors.ts";
import { type Kind, kinds } from "../shared/kind.ts";
import { isName } from "../shared/name.ts";
import type { AnswerContext } from "./answer-context.ts";
import { answer } from "./answers.ts";
import { allowsKind, type Claims, ownerOf, subjectText } from "./auth/claims.ts";
import type { Tokens } from "./auth/tokens.ts";
import type { ClusterFigures } from "./cluster/cluster-figures.ts";
import { grantName, type NameRegister } from "./grant.ts";
import type { Metrics } from "./metrics.ts";
import { landingPage } from "./pages.ts";

/** What the control plane needs of the relay around it. */
export interface ControlDeps {
  readonly tokens: Tokens;
  readonly names: NameRegister<string> | NameRegister<Promise<string>>;
  /** Public ports of tcp and udp tunnels; absent: this relay gives none. */
  readonly ports?: PortRegister | undefined;
  readonly metrics: Metrics;
  /** Makes the tokens of this owner that were issued until now worthless, and ends what goes on by them. */
  readonly revoke: (owner: string) => void | Promise<void>;
  readonly state: () => "starting" | "ready" | "draining";
  /** Milliseconds that only rise, as `Names` counts; and milliseconds since 1970, for tokens. */
  readonly now: () => number;
  readonly date: () => number;
  /** A proxy stands before the relay: then a loopback address is the proxy's, and proves nothing. */
  readonly behindProxy?: boolean;
  /** An error that is a fault of ours, for the log. */
  readonly fault?: (error: Error) => void;
  /** Sets the gauges that are read off only when somebody looks. */
  readonly beforeMetrics?: () => void;
  /** What the object of a tunnel tells of itself, as JSON; absent: tunnels have no objects here. */
  readonly objectFigures?: (name: string) => Promise<object>;
  /** What is known of the cluster that this relay is one of; absent: it is alone. */
  readonly cluster?: (() => ClusterFigures) | undefined;
}

/** Who gives public ports away. Both throw, or reject with, the refusal. */
export interface PortRegister {
  /** The name under which this owner has the port already. */
  nameAt(kind: Kind, port: number, owner: string): string | undefined;
  reserve(name: string, owner: string, kind: Kind, asked: number | undefined): Promise<number>;
}

/** Passed beside each request: `app.fetch(request, { remote })`. `address:port` of who asks, "" when not known. */
export interface ControlEnv {
  Bindings: { readonly remote: string };
}

const maxBodyBytes = 4_096;
const problem = "application/problem+json";
const issuer = "underpass";
const revocationRequest = v.object({ sub: subjectText });
const nameRequest = v.object({
  kind: v.picklist(kinds),
  name: v.optional(v.string()),
  port: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535))),
});

/** The relay's own host: health, metrics, names for agents, a page for people. Everything else there is 404. */
export function controlPlane(deps: ControlDeps): Hono<ControlEnv> {
  const app = new Hono<ControlEnv>();
  const refuse = (code: Code, context: AnswerContext) => {
    deps.metrics.refused(code);
    return toResponse(answer(code, context));
  };

  app.get("/", () => {
    const headers = {
      "Content-Type": "text/html; charset=utf-8",
      "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
      "Cache-Control": "no-cache",
    };
    return new Response(landingPage(), { headers });
  });

  app.get("/healthz", (c) => c.text("ok\n"));
  app.get("/readyz", (c) => c.text(`${deps.state()}\n`, deps.state() === "ready" ? 200 : 503));

  /** Only who is on this machine, or has an admin token. Throws `unauthorized`. */
  const demandOperator = async (c: Context<ControlEnv>): Promise<void> => {
    if (!deps.behindProxy && isLocal(c.req.raw.headers, c.env.remote)) return;
    const claims = await bearer(c.req.header("authorization"), deps);
    if (claims.admin !== true) throw new UnderpassError("unauthorized", "Figures need an admin token.");
  };

  app.get("/metrics", async (c) => {
    await demandOperator(c);
    deps.beforeMetrics?.();
    const text = deps.metrics.text(deps.cluster?.());
    return c.text(text, 200, { "Content-Type": "text/plain; version=0.0.4; charset=utf-8" });
  });

  app.get("/_underpass/api/cluster", async (c) => {
    if (deps.cluster === undefined) return refuse("not-found", contextOf(c.req.raw));
    await demandOperator(c);
    return c.json(deps.cluster(), 200, { "Cache-Control": "no-store" });
  });

  app.get("/_underpass/objects/:name", async (c) => {
    const name = c.req.param("name");
    if (deps.objectFigures === undefined || !isName(name)) return refuse("not-found", contextOf(c.req.raw));
    const claims = await bearer(c.req.header("authorization"), deps);
    if (claims.admin !== true) throw new UnderpassError("unauthorized", "Figures need an admin token.");
    return c.json(await deps.objectFigures(name), 200, { "Cache-Control": "no-store" });
  });

  app.post("/_underpass/names", async (c) => {
    const claims = await bearer(c.req.header("authorization"), deps);
    const wanted = v.safeParse(nameRequest, await boundedJson(c.req.raw));
    if (!wanted.success) {
      throw new UnderpassError(
        "bad-request",
        'The body is not JSON of the form {"kind":"http","name":"blue"}.',
      );
    }
    if (deps.state() === "draining") throw new UnderpassError("going-away");
    const { kind, port: asked } = wanted.output;
    const owner = ownerOf(claims);
    const hasPort = kind === "tcp" || kind === "udp";
    if (hasPort && deps.ports === undefined && allowsKind(claims, kind))
      throw new UnderpassError("kind-unavailable");
    // Who asks for a port that is his means the tunnel that has it, also where an older agent has not gone yet.
    const known = hasPort && asked !== undefined ? deps.ports?.nameAt(kind, asked, owner) : undefined;
    const register: NameRegister<string | Promise<string>> = deps.names;
    const grant = { kind, name: wanted.output.name ?? known };
    const name = await grantName(register, claims, grant, deps.now());
    const port = hasPort ? await deps.ports?.reserve(name, owner, kind, asked) : undefined;
    return c.json({ name, ...(port !== undefined && { port }) }, 201, { "Cache-Control": "no-store" });
  });

  app.post("/_underpass/revocations", async (c) => {
    const claims = await bearer(c.req.header("authorization"), deps);
    if (claims.admin !== true) throw new UnderpassError("unauthorized", "To revoke takes an admin token.");
    const wanted = v.safeParse(revocationRequest, await boundedJson(c.req.raw));
    if (!wanted.success)
      throw new UnderpassError("bad-request", 'The body is not JSON of the form {"sub":"alice"}.');
    const { sub } = wanted.output;
    await deps.revoke(ownerOf({ issuer, subject: sub }));
    return c.json({ sub }, 201, { "Cache-Control": "no-store" });
  });

  app.notFound((c) => refuse("not-found", contextOf(c.req.raw)));
  app.onError((error, c) => {
    const context = contextOf(c.req.raw);
    if (error instanceof UnderpassError && codes[error.code].status !== undefined) {
      return refuse(error.code, { ...context, detail: error.message });
    }
    deps.fault?.(error);
    return refuse("internal-error", context);
  });
  return app;
}

/** Agents read problem details, whatever their Accept; so does whoever speaks to /_underpass/. */
function contextOf(request: Request): AnswerContext {
  const { host, pathname } = new URL(request.url);
  const accept = pathname.startsWith("/_underpass/") ? problem : (request.headers.get("accept") ?? "");
  return { accept, host };
}

/** From this machine, and not passed on by something on it. */
function isLocal(headers: Headers, remote: string): boolean {
  for (const trace of ["forwarded", "x-forwarded-for", "x-real-ip", "via", "cf-connecting-ip"]) {
    if (headers.has(trace)) return false;
  }
  return /^(?:127(?:\.\d{1,3}){3}|\[::1\]|\[::ffff:127(?:\.\d{1,3}){3}\]):\d+$/.test(remote);
}

async function bearer(authorization: string | undefined, deps: ControlDeps): Promise<Claims> {
  const jwt = /^bearer +([^ ]+)$/i.exec(authorization ?? "")?.[1];
  if (jwt === undefined)
    throw new UnderpassError("unauthorized", "A token is needed: Authorization: Bearer JWT.");
  return deps.tokens.verify(jwt, deps.date());
}

/** Undefined for what is not JSON. Throws `body-too-large` as soon as the bound is passed, whatever was announced. */
async function boundedJson(request: Request): Promise<unknown> {
  if (!request.body) return undefined;
  let text: string;
  try {
    text = await toText(
      request.body.pipeThrough(new LimitedBytesTransformStream(maxBodyBytes, { error: true })),
    );
  } catch (error) {
    // The only RangeError here is the bound's; anything else is the visitor's abort.
    if (error instanceof RangeError) throw new UnderpassError("body-too-large", "The body is over 4 KiB.");
    throw new UnderpassError("bad-request", "The body broke off.", { cause: error });
  }
  try {
    return JSON.parse(text);
  } catch {
    // The visitor's mistake, told as such by the caller.
    return undefined;
  }
}

function toResponse(from: ReturnType<typeof answer>): Response {
  const headers = new Headers();
  for (let i = 0; i + 1 < from.fields.length; i += 2)
    headers.append(from.fields[i] ?? "", from.fields[i + 1] ?? "");
  return new Response(from.body, { status: from.status, headers });
}
