import assert from "node:assert/strict";
import type { Socket, SocketHandler } from "../../shared/socket.ts";

/** Records a socket's events and lets a case wait for them. */
export class SocketEar implements SocketHandler {
  bytes = 0;
  readonly chunks: Uint8Array[] = [];
  drains = 0;
  ends = 0;
  closes: boolean[] = [];
  /** Set while the case is inside one of the socket's methods. */
  calling = false;
  #waiting: { met: () => boolean; resolve: () => void }[] = [];

  constructor(
    readonly socket: Socket,
    readonly react: Partial<SocketHandler> = {},
    readonly keep: { readonly chunks: boolean } = { chunks: true },
  ) {
    socket.handler = this;
  }
  call(run: (socket: Socket) => void): void {
    this.calling = true;
    run(this.socket);
    this.calling = false;
  }
  data(bytes: Uint8Array): void {
    this.#event();
    this.bytes += bytes.length;
    if (this.keep.chunks) this.chunks.push(bytes);
    this.react.data?.(bytes);
    this.#check();
  }
  drained(): void {
    this.#event();
    this.drains++;
    this.react.drained?.();
    this.#check();
  }
  ended(): void {
    this.#event();
    this.ends++;
    this.react.ended?.();
    this.#check();
  }
  closed(reason: { readonly reset: boolean }): void {
    this.#event();
    this.closes.push(reason.reset);
    this.react.closed?.(reason);
    this.#check();
  }
  until(met: () => boolean): Promise<void> {
    if (met()) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ met, resolve }));
  }
  text(): string {
    return Buffer.concat(this.chunks).toString();
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
