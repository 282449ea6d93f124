import type { Exchange } from "./exchange.ts";
import type { RelayPlace } from "./relay-place.ts";
import type { World } from "./world.ts";

/** A session that was full tells nobody that it has room again: so often it is asked, as `Hold` does. */
const askAgainMs = 100;

/** Those who want an exchange, and wait where no agent takes it now: first come, first served. */
export class Visitors {
  #waiting: Exchange[] = [];
  #scheduled = false;
  #asksLater = false;

  constructor(
    private readonly world: World,
    private readonly relay: () => RelayPlace,
  ) {}

  come(exchange: Exchange): void {
    exchange.state = "waiting";
    this.#waiting.push(exchange);
    this.retry();
  }

  /** There may be an agent: tries them, outside of whatever told so. */
  retry(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.world.at(this.world.nowMs, () => {
      this.#scheduled = false;
      const relay = this.relay();
      relay.machine.hear(() => this.#openAll(relay));
    });
  }

  #openAll(relay: RelayPlace): void {
    // Meanwhile another has taken its place.
    if (relay !== this.relay()) return this.retry();
    const waiting = this.#waiting;
    this.#waiting = [];
    while (waiting.length > 0) {
      const [first] = waiting;
      if (first === undefined || !relay.open(first)) break;
      waiting.shift();
    }
    this.#waiting.unshift(...waiting);
    if (this.#waiting.length === 0 || this.#asksLater) return;
    this.#asksLater = true;
    this.world.at(this.world.nowMs + askAgainMs, () => {
      this.#asksLater = false;
      if (this.#waiting.length > 0) this.retry();
    });
  }
}
