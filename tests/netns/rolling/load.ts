import { within } from "../../blackbox/programs/within.ts";
import { type Target, Visitor } from "../../blackbox/raw/visitor.ts";
import { answerTo } from "./counted-origin.ts";

/** An answer that takes longer than the slowest honest one has failed. */
const answerLimitMs = 30_000;
/** A request with a body, one in so many. */
const postEvery = 5;

export type Habit = "keep-alive" | "new connection";

/** A request without its answer. */
export interface Failure {
  readonly id: number;
  readonly habit: Habit;
  /** The first on its connection: that may have been reset before anybody had accepted it. */
  readonly first: boolean;
  readonly why: string;
}

/** Visitors that never try again: what goes wrong once has failed. Half of them keep their connection, half never do. */
export class Load {
  requests = 0;
  readonly failures: Failure[] = [];
  readonly latenciesMs: number[] = [];
  readonly #target: Target;
  readonly #visitors: Promise<void>[];
  #next = 1;
  #over = false;
  #progress = Promise.withResolvers<void>();

  constructor(target: Target, visitors: number) {
    this.#target = target;
    this.#visitors = Array.from({ length: visitors }, (_, i) =>
      this.#visit(i % 2 === 0 ? "keep-alive" : "new connection"),
    );
  }

  /** Resolves once so many requests are over, failed ones too. */
  async reached(requests: number): Promise<void> {
    while (this.requests < requests) await this.#progress.promise;
  }

  /** No new requests; resolves when those under way are over. */
  async stop(): Promise<void> {
    this.#over = true;
    await Promise.all(this.#visitors);
  }

  async #visit(habit: Habit): Promise<void> {
    let visitor: Visitor | undefined;
    let gone = false;
    let first = true;
    while (!this.#over) {
      const id = this.#next++;
      const startedAtMs = performance.now();
      try {
        // A connection that was seen to be closed before the request is no failure: nobody would use it.
        if (gone) visitor?.close();
        if (visitor === undefined || gone) {
          first = true;
          const fresh = await within(Visitor.connect(this.#target), answerLimitMs, () => "a connection");
          visitor = fresh;
          gone = false;
          void fresh.wire.over.then(() => {
            if (visitor === fresh) gone = true;
          });
        }
        const leave = await within(ask(visitor, id, habit), answerLimitMs, () => `the answer to ${id}`);
        this.latenciesMs.push(performance.now() - startedAtMs);
        first = false;
        if (leave) {
          visitor.close();
          visitor = undefined;
        }
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        this.failures.push({ id, habit, first, why });
        visitor?.close();
        visitor = undefined;
      }
      this.requests++;
      const progress = this.#progress;
      this.#progress = Promise.withResolvers();
      progress.resolve();
    }
    visitor?.close();
  }
}

/** One request and its whole answer; says whether the connection is not to be used again. */
async function ask(visitor: Visitor, id: number, habit: Habit): Promise<boolean> {
  const body = id % postEvery === 0 ? "x".repeat((id * 31) % 9000) : "";
  const start = body === "" ? `GET /requests/${id}` : `POST /requests/${id}`;
  const length = body === "" ? "" : `Content-Length: ${body.length}\r\n`;
  const close = habit === "keep-alive" ? "" : "Connection: close\r\n";
  await visitor.send(`${start} HTTP/1.1\r\nHost: HOST\r\n${length}${close}\r\n${body}`);
  const { status, head, body: answer } = await visitor.answer();
  const text = await answer.text();
  if (status !== 200) throw new Error(`status ${status} ${head.field("underpass-error") ?? ""}`);
  if (!answer.complete) throw new Error(`cut off after ${text.length} bytes`);
  if (text !== answerTo(id, body)) throw new Error(`a wrong answer of ${text.length} bytes`);
  return habit === "new connection" || /\bclose\b/i.test(head.field("connection") ?? "");
}
