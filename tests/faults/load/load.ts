import { type Target, Visitor } from "../../blackbox/raw/visitor.ts";
import { download } from "./downloads.ts";
import { echoes } from "./echoes.ts";
import type { Ledger } from "./ledger.ts";
import type { Pace } from "./pace.ts";
import type { Random } from "./random.ts";
import { upload } from "./uploads.ts";

/** How many exchanges are open at once, and what they are like. */
export interface LoadShape {
  readonly downloads: number;
  readonly uploads: number;
  readonly echoes: number;
  /** Visitors that post a few bytes again and again: requests that come while no link is there. */
  readonly posters: number;
  readonly minBodyBytes: number;
  readonly maxBodyBytes: number;
  /** Between two pieces of 16 KiB. */
  readonly pieceEveryMs: number;
  readonly messageEveryMs: number;
}

const maxSmallBytes = 2_000;
const smallEveryMs = 250;
/** Every second WebSocket ends after so many messages, and another begins. */
const shortEchoMessages = 40;

/** Visitors without mercy: none tries again what failed. Each goes on with its next exchange until the pace hurries. */
export class Load {
  constructor(
    readonly target: Target,
    readonly shape: LoadShape,
    readonly ledger: Ledger,
    readonly pace: Pace,
    readonly random: Random,
  ) {}

  /** Resolves when the last exchange has ended; never fails: what went wrong stands in the ledger. */
  async run(): Promise<void> {
    const { downloads, uploads, echoes, posters } = this.shape;
    const visitors = [
      ...Array.from({ length: downloads }, (_, i) => this.#repeat(i, (visitor) => this.#down(visitor))),
      ...Array.from({ length: uploads }, (_, i) => this.#repeat(i, (visitor) => this.#up(visitor))),
      ...Array.from({ length: posters }, (_, i) => this.#repeat(i, (visitor) => this.#post(visitor))),
      ...Array.from({ length: echoes }, (_, i) => this.#echo(i)),
    ];
    await Promise.all(visitors);
  }

  #down(visitor: Visitor): Promise<void> {
    return download(visitor, this.#bodyBytes(), this.ledger);
  }

  #up(visitor: Visitor): Promise<void> {
    const { ledger, pace, shape } = this;
    return upload(visitor, this.#bodyBytes(), { ledger, pace, pieceEveryMs: shape.pieceEveryMs });
  }

  async #post(visitor: Visitor): Promise<void> {
    const { ledger, pace, random } = this;
    await upload(visitor, random.whole(1, maxSmallBytes), { ledger, pace, pieceEveryMs: 0 });
    await pace.step(smallEveryMs);
  }

  #bodyBytes(): number {
    return this.random.whole(this.shape.minBodyBytes, this.shape.maxBodyBytes);
  }

  /** One exchange after another: every second visitor keeps its connection, the others take a new one each time. */
  async #repeat(index: number, exchange: (visitor: Visitor) => Promise<void>): Promise<void> {
    let kept: Visitor | undefined;
    do {
      const visitor = kept ?? (await Visitor.connect(this.target));
      kept = undefined;
      try {
        await exchange(visitor);
        if (index % 2 === 0) kept = visitor;
        else visitor.close();
      } catch {
        // The ledger has it. A pause, so that one fault is not told a thousand times.
        visitor.close();
        await this.pace.step(smallEveryMs);
      }
    } while (!this.pace.hurries);
    kept?.close();
  }

  async #echo(index: number): Promise<void> {
    const { ledger, pace, shape, target } = this;
    const count = index % 2 === 0 ? Number.POSITIVE_INFINITY : shortEchoMessages;
    do {
      await echoes(target, count, { ledger, pace, messageEveryMs: shape.messageEveryMs }).catch(() =>
        pace.step(smallEveryMs),
      );
    } while (!pace.hurries);
  }
}
