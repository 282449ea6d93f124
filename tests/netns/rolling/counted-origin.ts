import { type Exchange, RawOrigin } from "../../blackbox/raw/origin.ts";

/** Where the number of a request stands in its target. */
const numberedTarget = /^\/requests\/(\d+)$/;
/** Every so many requests one is answered slowly, so that a restart always meets open exchanges. */
const slowEvery = 200;
const slowMs = 600;
const maxAnswerBytes = 24 * 1024;

/** What the origin answers to a request, so that the visitor can check it. */
export function answerTo(id: number, body: string): string {
  return `${id}:${body.length}:`.padEnd(16 + ((id * 7919) % maxAnswerBytes), "abcdefghijklmnopqrstuvwxyz");
}

/** An origin that counts how often it has seen the number of each request. */
export class CountedOrigin {
  /** By request number. */
  readonly seen = new Map<number, number>();
  readonly #origin: RawOrigin;

  private constructor(origin: RawOrigin) {
    this.#origin = origin;
  }

  static async listen(): Promise<CountedOrigin> {
    const origin = await RawOrigin.listen();
    const counted = new CountedOrigin(origin);
    origin.script = (exchange) => counted.#answer(exchange);
    return counted;
  }

  get port(): number {
    return this.#origin.port;
  }

  /** The numbers that came more than once. */
  get repeated(): number[] {
    return [...this.seen].filter(([, times]) => times > 1).map(([id]) => id);
  }

  close(): Promise<void> {
    return this.#origin.close();
  }

  async #answer({ head, body, send }: Exchange): Promise<void> {
    const id = Number(numberedTarget.exec(head.target)?.[1] ?? -1);
    this.seen.set(id, (this.seen.get(id) ?? 0) + 1);
    const answer = answerTo(id, await body.text());
    const half = answer.length >> 1;
    await send(`HTTP/1.1 200 OK\r\nContent-Length: ${answer.length}\r\n\r\n${answer.slice(0, half)}`);
    // The slowness is what is wanted: it spans the moment of a restart.
    if (id % slowEvery === 0) await Bun.sleep(slowMs);
    await send(answer.slice(half));
  }
}
