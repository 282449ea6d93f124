import assert from "node:assert/strict";
import type { Link, LinkHandler } from "../../shared/link.ts";

/** Records a link's events and lets a test wait for them. */
export class LinkEar implements LinkHandler {
  readonly messages: Uint8Array[] = [];
  readonly texts: string[] = [];
  bytes = 0;
  /** Signs of life. */
  lives = 0;
  drains = 0;
  readonly closes: [number, string][] = [];
  calling = false;
  #told = false;
  #waiting: { met: () => boolean; resolve: () => void }[] = [];

  constructor(
    readonly link: Link,
    readonly react: Partial<LinkHandler> = {},
  ) {
    link.handler = this;
  }
  /** Runs `run` and fails on any event that comes from inside it. */
  call(run: (link: Link) => void): void {
    this.calling = true;
    run(this.link);
    this.calling = false;
  }
  heard(): void {
    this.#event();
    this.lives++;
    this.#told = true;
    this.react.heard?.();
    this.#check();
  }
  message(bytes: Uint8Array): void {
    this.#event();
    assert.ok(this.#told, "a message came without a sign of life before it");
    this.bytes += bytes.length;
    if (this.react.message) this.react.message(bytes);
    else this.messages.push(bytes);
    this.#check();
  }
  text(text: string): void {
    this.#event();
    assert.ok(this.#told, "a text came without a sign of life before it");
    this.texts.push(text);
    this.react.text?.(text);
    this.#check();
  }
  drained(): void {
    this.#event();
    this.drains++;
    this.react.drained?.();
    this.#check();
  }
  closed(code: number, reason: string): void {
    this.#event();
    this.closes.push([code, reason]);
    this.react.closed?.(code, reason);
    this.#check();
  }
  until(met: () => boolean): Promise<void> {
    if (met()) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ met, resolve }));
  }
  #event(): void {
    assert.equal(this.calling, false, "an event came from inside a call");
    assert.equal(this.closes.length, 0, "an event came after closed");
  }
  #check(): void {
    const met = this.#waiting.filter((waiting) => waiting.met());
    this.#waiting = this.#waiting.filter((waiting) => !met.includes(waiting));
    for (const waiting of met) waiting.resolve();
  }
}
