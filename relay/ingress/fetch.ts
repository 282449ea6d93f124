import type { Clock } from "../../shared/clock.ts";
import { type Code, codes } from "../../shared/errors.ts";
import { HttpFault } from "../../shared/http1/fault.ts";
import { fieldValue } from "../../shared/http1/head.ts";
import type { Memory } from "../../shared/mux/memory.ts";
import type { PassageDeps } from "../../shared/passage.ts";
import type { AnswerContext } from "../answer-context.ts";
import { answer } from "../answers.ts";
import type { RelayLog } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import type { Route, Router } from "../router.ts";
import type { WayDeps } from "../tunnel-way.ts";
import { account } from "./account.ts";
import { FetchExchange, type FetchSide } from "./fetch-exchange.ts";
import { type FetchHead, type FetchSource, headersOf, readFetchHead } from "./fetch-head.ts";
import type { FetchPlatform } from "./fetch-platform.ts";
import { Lingering } from "./lingering.ts";

export interface FetchIngressDeps extends PassageDeps, WayDeps {
  readonly metrics: Metrics;
  readonly router: Router;
  readonly log: RelayLog;
  readonly platform: FetchPlatform;
  readonly memory: Memory;
  /** How visitors call this relay, where that is not how the request came. */
  readonly scheme?: "http" | "https" | undefined;
}

/** Where a request belongs, or the answer that ends it here. */
export type Arrived =
  | { readonly kind: "own" | "tunnel"; readonly route: Route; readonly read: FetchHead }
  | { readonly kind: "answered"; readonly response: Response };

/** Where a request belongs. Answers itself what belongs nowhere; for the Worker in front as well as for the ingress. */
export function arrive(request: Request, router: Router, source?: FetchSource): Arrived {
  const read = readFetchHead(request, source);
  if (read instanceof HttpFault) {
    const context = { accept: request.headers.get("accept") ?? "", detail: read.message };
    return { kind: "answered", response: answerResponse(read.code, context, request.method) };
  }
  const route = router.route(read.host, read.head.target);
  if (route.kind === "own" || route.kind === "tunnel") return { kind: route.kind, route, read };
  const response =
    route.kind === "redirect"
      ? new Response(null, { status: 308, headers: { Location: route.location } })
      : answerResponse("unknown-host", contextOf(read), request.method);
  return { kind: "answered", response };
}

/** What a visitor gets when the relay itself answers. */
export function answerResponse(code: Code, context: AnswerContext, method: string): Response {
  const { status, fields, body } = answer(code, context);
  return new Response(method === "HEAD" ? null : body, { status, headers: headersOf(fields, "latin1") });
}

function contextOf(read: FetchHead, name?: string): AnswerContext {
  return { accept: fieldValue(read.head.fields, "accept") ?? "", host: read.host, name };
}

/** Visitors as Request and Response: each goes to a tunnel. */
export class FetchIngress implements FetchSide {
  readonly clock: Clock;
  readonly platform: FetchPlatform;
  readonly memory: Memory;
  readonly lingering: Lingering;
  private open = 0;
  /** Called when the last exchange is over. */
  private empty = () => {};

  constructor(private readonly deps: FetchIngressDeps) {
    this.memory = deps.memory;
    this.lingering = new Lingering(deps.memory);
    this.clock = deps.clock;
    this.platform = deps.platform;
  }

  /** Answers a visitor's request for a tunnel. Never rejects. */
  visit(request: Request, read: FetchHead, route: Route & { readonly kind: "tunnel" }): Promise<Response> {
    const { deps } = this;
    const { name } = route;
    const exchange = new FetchExchange(
      this,
      {
        name,
        request,
        read,
        target: route.target,
        prefix: route.prefix,
        scheme: deps.scheme ?? read.scheme,
        startedMs: deps.clock.now(),
      },
      deps,
    );
    const refusal = exchange.start();
    if (refusal !== undefined) return Promise.resolve(this.refuse(exchange, refusal));
    this.open++;
    return exchange.response;
  }

  /** Resolves when no exchange is under way, or when the grace has passed. */
  drain(graceMs: number): Promise<void> {
    if (this.open === 0) return Promise.resolve();
    const { clock } = this;
    return new Promise((resolve) => {
      const cancel = clock.at(clock.now() + graceMs, resolve);
      this.empty = () => {
        cancel();
        resolve();
      };
    });
  }

  // FetchSide

  refuse(exchange: FetchExchange, code: Code): Response {
    const { read, name, request } = exchange.options;
    this.deps.metrics.refused(code);
    exchange.status = codes[code].status ?? 500;
    return answerResponse(code, contextOf(read, name), request.method);
  }

  over(exchange: FetchExchange): void {
    const { options, bytesIn, bytesOut, status, opened } = exchange;
    const { name, read, target, startedMs } = options;
    const { method } = read.head;
    account(this.deps, { name, method, target, startedMs, status, bytesIn, bytesOut, opened });
    this.open--;
    if (this.open === 0) this.empty();
  }
}
