import { within } from "../blackbox/programs/within.ts";
import { Visitor } from "../blackbox/raw/visitor.ts";
import { Random } from "../faults/load/random.ts";
import { answerTo } from "../netns/rolling/counted-origin.ts";
import type { Cluster } from "./cluster.ts";
import type { CountedOrigins } from "./counted-origins.ts";

/** Longer than the slowest honest answer: one that is held for an agent who comes back. */
const answerLimitMs = 30_000;
/** A request with a body, one in so many. */
const postEvery = 5;
/** Connections that nobody listens for: a relay that has just ended. */
const maxRefusals = 1_000;

/** A request that was sent: its connection was open. Times are of `performance.now()`. */
export interface Sent {
  readonly id: number;
  readonly name: string;
  /** The index of the relay that its visitor came to. */
  readonly entry: number;
  readonly sentAtMs: number;
}

export interface Failed extends Sent {
  readonly why: string;
  readonly failedAtMs: number;
}

export interface LoadOptions {
  readonly cluster: Cluster;
  /** One for each tunnel. */
  readonly origins: CountedOrigins;
  readonly visitors: number;
  readonly seed?: number;
}

/**
 * Visitors that never try again what failed, behind a load balancer: a new connection goes to any relay that is `open`,
 * one that is refused to another. Each request is for any of the tunnels. Half of the visitors keep their connection for
 * as long as its relay is open, half take a new one for each request.
 */
export class ClusterLoad {
  /** Requests that are over, failed ones too. */
  requests = 0;
  readonly failures: Failed[] = [];
  readonly latenciesMs: number[] = [];
  /** Those that were answered, by the index of the relay that they came to. */
  readonly answered: number[] = [];
  /** Indices of the relays that new connections go to: those that are ready. */
  readonly open: Set<number>;
  readonly #cluster: Cluster;
  readonly #origins: CountedOrigins;
  readonly #random: Random;
  readonly #visitors: Promise<void>[];
  readonly #sent = new Map<number, Sent>();
  /** Requests that were answered: the tunnel by the number. */
  readonly #answers = new Map<number, string>();
  /** Indices of the relays that somebody is about to be connected to. */
  readonly #connecting: number[] = [];
  #next = 1;
  #over = false;
  #progress = Promise.withResolvers<void>();

  constructor({ cluster, origins, visitors, seed = 1 }: LoadOptions) {
    this.#cluster = cluster;
    this.#origins = origins;
    this.#random = new Random(seed);
    this.open = new Set(cluster.relays.keys());
    this.#visitors = Array.from({ length: visitors }, (_, i) => this.#visit(i % 2 === 0));
  }

  /** Under way now. */
  get sent(): readonly Sent[] {
    return [...this.#sent.values()];
  }

  /** Resolves once so many requests are over. */
  async reached(requests: number): Promise<void> {
    while (this.requests < requests) await this.#progress.promise;
  }

  /**
   * The load balancer sends nobody to this relay any more; resolves once the relay has taken all that was sent to it: what
   * a kernel has queued for a listener is lost when that closes. What it has taken is under way.
   */
  async leave(entry: number): Promise<void> {
    this.open.delete(entry);
    const waits = ({ entry: at, id, name }: Sent): boolean =>
      at === entry && this.#origins.seen(name, id) === 0;
    while (this.#connecting.includes(entry) || this.sent.some(waits)) await Bun.sleep(1);
  }

  /** No new requests; resolves when those under way are over. */
  async stop(): Promise<void> {
    this.#over = true;
    await Promise.all(this.#visitors);
  }

  /** Numbers of requests that were answered and that their tunnel's origin did not see exactly once, or another saw. */
  get amiss(): number[] {
    const wrong = [...this.#answers].flatMap(([id, name]) =>
      this.#origins.seen(name, id) === 1 ? [] : [id],
    );
    return [...new Set([...wrong, ...this.#origins.repeated])];
  }

  /** One request of its own connection to each tunnel at each open relay. How long each took from this call on, in ms. */
  async probe(): Promise<readonly { readonly name: string; readonly entry: number; readonly ms: number }[]> {
    const startedAtMs = performance.now();
    const entries = [...this.open];
    const probes = this.#origins.names.flatMap((name) =>
      entries.map(async (entry) => {
        const visitor = await Visitor.connect(this.#cluster.target(name, entry));
        await this.#exchange(visitor, { name, entry, keeps: false });
        visitor.close();
        return { name, entry, ms: performance.now() - startedAtMs };
      }),
    );
    return Promise.all(probes);
  }

  async #visit(keeps: boolean): Promise<void> {
    let kept: { visitor: Visitor; entry: number; gone: boolean } | undefined;
    while (!this.#over) {
      // A connection that was seen to be closed before the request is no failure, and one to a relay that leaves is left.
      if (kept !== undefined && (kept.gone || !this.open.has(kept.entry))) {
        kept.visitor.close();
        kept = undefined;
      }
      const name = this.#random.one(this.#origins.names);
      kept ??= await this.#connect(name);
      const { visitor, entry } = kept;
      const stays = await this.#exchange(visitor, { name, entry, keeps });
      if (stays) continue;
      visitor.close();
      kept = undefined;
    }
    kept?.visitor.close();
  }

  async #connect(name: string): Promise<{ visitor: Visitor; entry: number; gone: boolean }> {
    for (let refusals = 0; ; refusals++) {
      const entry = this.#random.one([...this.open] as [number, ...number[]]);
      this.#connecting.push(entry);
      try {
        const connecting = Visitor.connect(this.#cluster.target(name, entry));
        const visitor = await within(connecting, answerLimitMs, () => `a connection to relay ${entry}`);
        const kept = { visitor, entry, gone: false };
        void visitor.wire.over.then(() => {
          kept.gone = true;
        });
        return kept;
      } catch (error) {
        // The load balancer's business: it takes another.
        if (refusals > maxRefusals) throw error;
        await Bun.sleep(1);
      } finally {
        this.#connecting.splice(this.#connecting.indexOf(entry), 1);
      }
    }
  }

  /** Says whether the connection can be used again. */
  async #exchange(
    visitor: Visitor,
    { name, entry, keeps }: { readonly name: string; readonly entry: number; readonly keeps: boolean },
  ): Promise<boolean> {
    const id = this.#next++;
    const sent: Sent = { id, name, entry, sentAtMs: performance.now() };
    this.#sent.set(id, sent);
    let stays = false;
    try {
      const host = this.#cluster.target(name, entry).host;
      stays = await within(
        ask(visitor, { id, host, keeps }),
        answerLimitMs,
        () => `the answer to ${id} of ${name}`,
      );
      this.latenciesMs.push(performance.now() - sent.sentAtMs);
      this.#answers.set(id, name);
      this.answered[entry] = (this.answered[entry] ?? 0) + 1;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.failures.push({ ...sent, why, failedAtMs: performance.now() });
    }
    this.#sent.delete(id);
    this.requests++;
    const progress = this.#progress;
    this.#progress = Promise.withResolvers();
    progress.resolve();
    return stays;
  }
}

/** One request and its whole answer; says whether the connection can be used again. */
async function ask(
  visitor: Visitor,
  { id, host, keeps }: { readonly id: number; readonly host: string; readonly keeps: boolean },
): Promise<boolean> {
  const body = id % postEvery === 0 ? "x".repeat((id * 31) % 9000) : "";
  const start = body === "" ? `GET /requests/${id}` : `POST /requests/${id}`;
  const length = body === "" ? "" : `Content-Length: ${body.length}\r\n`;
  const close = keeps ? "" : "Connection: close\r\n";
  await visitor.wire.send(`${start} HTTP/1.1\r\nHost: ${host}\r\n${length}${close}\r\n${body}`);
  const { status, head, body: answer } = await visitor.answer();
  const text = await answer.text();
  if (status !== 200) throw new Error(`status ${status} ${head.field("underpass-error") ?? ""}`);
  if (!answer.complete) throw new Error(`cut off after ${text.length} bytes`);
  if (text !== answerTo(id, body)) throw new Error(`a wrong answer of ${text.length} bytes`);
  return keeps && !/\bclose\b/i.test(head.field("connection") ?? "");
}
