import type { RelayRuntime } from "../programs/relay.ts";
import type { Field } from "../raw/head.ts";
import type { Exchange, RawOrigin } from "../raw/origin.ts";
import { type Answer, type Target, Visitor } from "../raw/visitor.ts";

/** One row of the fidelity table: run against the origin direct and through the tunnel, and both must tell the same. */
export interface FidelityCase {
  readonly group: string;
  readonly name: string;
  /** Does the exchange and tells all that both ends saw. */
  run(target: Target, origin: RawOrigin): Promise<unknown>;
  /** Where a platform can't carry it, and why. There the result is written down and not asserted. */
  readonly limits?: Partial<Record<RelayRuntime, string>>;
}

/** Fields that belong to one hop, or that the relay writes itself; other cases look at them. */
const notCompared = new Set(
  "connection keep-alive proxy-connection te trailer transfer-encoding forwarded via x-forwarded-for x-forwarded-host x-forwarded-proto x-forwarded-port x-forwarded-prefix x-real-ip".split(
    " ",
  ),
);

export function comparable(fields: readonly Field[]): Field[] {
  return fields.filter(([name]) => !notCompared.has(name.toLowerCase()));
}

/** What the origin saw of a request. */
export function originSaw(exchange: Exchange, body: string) {
  return {
    start: exchange.head.start,
    fields: comparable(exchange.head.fields),
    framing: exchange.body.framing,
    body,
    trailers: exchange.body.trailers,
    complete: exchange.body.complete,
  };
}

/** What the visitor saw of an answer. How its end is marked is each hop's own affair, so that is left out. */
export function visitorSaw(answer: Answer, body: string) {
  return {
    // Each hop speaks its own version (RFC 9110 section 2.5).
    start: answer.head.start.replace(/^HTTP\/1\.0/, "HTTP/1.1"),
    fields: comparable(answer.head.fields),
    interim: answer.interim.map((head) => [head.start, comparable(head.fields)]),
    body,
    trailers: answer.body.trailers,
    complete: answer.body.complete,
  };
}

export interface Plan {
  /** Exact bytes as latin-1; `HOST` stands for the Host of the target. */
  readonly request: string;
  /** Exact bytes of the origin's answer. */
  readonly answer?: string;
  /** What the origin does after its answer; absent: it waits for the next request. */
  readonly closes?: "end" | "abort";
  /** The method, where it changes what an answer may hold. */
  readonly method?: string;
  /** How many answers to read. */
  readonly answers?: number;
}

export const plainAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/** The plain kind of case: these bytes there, those bytes back. */
export function exchange(plan: Plan): FidelityCase["run"] {
  return async (target, origin) => {
    const requests: unknown[] = [];
    origin.script = async (exchange) => {
      requests.push(originSaw(exchange, await exchange.body.text()));
      await exchange.send(plan.answer ?? plainAnswer);
      if (plan.closes === "end") exchange.wire.end();
      if (plan.closes === "abort") exchange.wire.abort();
    };
    using visitor = await Visitor.connect(target);
    await visitor.send(plan.request);
    const answers: unknown[] = [];
    for (let i = 0; i < (plan.answers ?? 1); i++) {
      const answer = await visitor.answer(plan.method);
      answers.push(visitorSaw(answer, await answer.body.text()));
    }
    return { requests, answers };
  };
}
