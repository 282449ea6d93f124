import { expect } from "bun:test";
import type { TransportChoice } from "../../agent/command/relay-link.ts";
import { Transport } from "../../agent/dial/transport.ts";
import type { GiveUp } from "../../shared/dial/place.ts";
import { RelayRefusal } from "../../shared/dial/relay-refusal.ts";
import { UnderpassError } from "../../shared/errors.ts";
import type { Link, TransportName } from "../../shared/link.ts";
import { memoryLinks } from "../../shared/links/memory.ts";
import { VirtualClock } from "./virtual-clock.ts";

/** What becomes of a dial: a link; a refusal of the relay's, of something between, or of nobody; nothing at all. */
export type Fate = "link" | "relay" | "between" | "trouble" | "nobody" | "silence";

const refusals: Readonly<Partial<Record<Fate, RelayRefusal>>> = {
  relay: new RelayRefusal("unauthorized"),
  between: new RelayRefusal("not-a-relay", "It answers 403.", 0, "between"),
  trouble: new RelayRefusal("relay-unreachable", "It answers 502.", 0, "between"),
  nobody: new RelayRefusal("relay-unreachable", "Nobody there.", 0, "nobody"),
};

/** A network in which each transport has its fate, and the dials that were made. */
export class Network {
  readonly clock = new VirtualClock();
  readonly fates: Record<TransportName, Fate> = { ws: "link", sse: "link" };
  readonly dials: string[] = [];
  readonly transport: Transport;
  /** Calls of the transport to move links: when, and how. */
  readonly moves: [number, string][] = [];
  left = 1;
  readonly #startMs = this.clock.now();

  constructor(choice: TransportChoice = "auto", random = 0.5) {
    this.transport = new Transport({
      ...{ choice, clock: this.clock, websocketRetryMs: 30_000, random: () => random },
      dialer: {
        openLink: (...dial) => this.#dial("ws", dial[2], dial[3]),
        openEventLink: (...dial) => this.#dial("sse", dial[2], dial[3]),
        requestName: () => () => {},
      },
    });
    this.transport.follow((how) => {
      this.moves.push([this.nowMs, how]);
      return { begun: this.left === 0 ? 0 : 1, left: this.left };
    });
  }

  get nowMs(): number {
    return this.clock.now() - this.#startMs;
  }

  /** One dial: its link, or the code of its refusal; undefined where it is silent. */
  async dial(): Promise<Link | string | undefined> {
    let result: Link | UnderpassError | undefined;
    this.giveUp = this.transport.openLink({ name: "blue", kind: "http" }, undefined, (got) => {
      expect(result).toBeUndefined();
      result = got;
    });
    for (let i = 0; i < 8; i++) await Promise.resolve();
    return result instanceof UnderpassError ? `${result.code}${result.fatal ? "!" : ""}` : result;
  }
  giveUp: GiveUp = () => {};

  /** A dial that must bring a link. */
  async link(): Promise<Link> {
    const link = await this.dial();
    if (typeof link !== "object") throw new Error(`no link: ${link}`);
    return link;
  }

  /** The transports that were dialled since the last look. */
  dialled(): string {
    return this.dials.splice(0).join(" ");
  }

  #dial(
    transport: TransportName,
    done: (result: Link | UnderpassError) => void,
    reached: (() => void) | undefined,
  ): () => void {
    this.dials.push(transport);
    const fate = this.fates[transport];
    let given = true;
    queueMicrotask(() => {
      if (!given) return;
      if (fate !== "nobody") reached?.();
      if (fate === "silence") return;
      done(refusals[fate] ?? Object.assign(memoryLinks(this.clock)[0], { transport }));
    });
    return () => {
      given = false;
    };
  }
}
