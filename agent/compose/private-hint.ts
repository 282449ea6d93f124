import type { Platform } from "../platform.ts";
import type { ReadyEvent } from "../screen/events.ts";
import type { EmbeddedRelay } from "./embedded.ts";

/** A private tunnel at an embedded relay: who is to reach it needs a token, which only this process can make. */
export class PrivateHint {
  readonly #embedded: EmbeddedRelay;
  readonly #platform: Platform;
  readonly #told: (event: ReadyEvent) => void;
  #kept: ReturnType<Platform["keepSecret"]> | undefined;

  constructor(embedded: EmbeddedRelay, platform: Platform, told: (event: ReadyEvent) => void) {
    this.#embedded = embedded;
    this.#platform = platform;
    this.#told = told;
  }

  /** Passes `event` on, with the file of a token that `connect` can use. */
  async ready(event: ReadyEvent): Promise<void> {
    let connect: ReadyEvent["connect"];
    try {
      this.#kept ??= this.#embedded
        .connectToken(event.name ?? "")
        .then((token) => this.#platform.keepSecret(token));
      connect = { relay: this.#embedded.url.origin, tokenFile: (await this.#kept).path };
    } catch {
      // Nowhere to keep it: the tunnel is up all the same.
    }
    this.#told({ ...event, ...(connect && { connect }) });
  }

  async close(): Promise<void> {
    // One that could not be made has nothing to remove.
    const kept = await this.#kept?.catch(() => undefined);
    await kept?.remove();
  }
}
