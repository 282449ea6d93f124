import type { Code } from "../errors.ts";
import type { PipeEnd, PipeHandler } from "../pipe.ts";
import type { Socket, SocketHandler } from "../socket.ts";
import { deafPipeHandler } from "./deaf.ts";

/** A source is paused while more than the first waits at the other end, until less than the second does. */
export const pauseAboveBytes = 262_144;
const resumeBelowBytes = 65_536;

const nothing = new Uint8Array(0);

export interface SocketEndOptions {
  /** What it is for the other end when this socket breaks: `origin-closed` where we dialled, `cancelled` for a visitor. */
  readonly broken: Code;
  /** What the socket has given already. Comes as `data` as soon as `handler` is set. */
  readonly first?: Uint8Array;
}

/** A socket as the end of a pipe. Takes over its events. RST, EPIPE and the like are ordinary ends here. */
export class SocketEnd implements PipeEnd, SocketHandler {
  readonly #socket: Socket;
  readonly #broken: Code;
  #first: Uint8Array;
  #handler = deafPipeHandler;
  #paused = false;
  #peerEnded = false;
  #ended = false;
  #over = false;

  constructor(socket: Socket, options: SocketEndOptions) {
    this.#socket = socket;
    this.#broken = options.broken;
    this.#first = options.first ?? nothing;
    socket.handler = this;
  }

  get handler(): PipeHandler {
    return this.#handler;
  }

  set handler(handler: PipeHandler) {
    this.#handler = handler;
    const first = this.#first;
    this.#first = nothing;
    if (first.length > 0) handler.data(first);
  }

  write(bytes: Uint8Array): number {
    return this.#socket.write(bytes);
  }

  end(): void {
    this.#ended = true;
    this.#socket.end();
  }

  abort(_code: Code): void {
    this.#over = true;
    this.#socket.destroy();
  }

  held(bytes: number): void {
    if (this.#paused) {
      if (bytes >= resumeBelowBytes) return;
      this.#paused = false;
      this.#socket.resume();
    } else if (bytes > pauseAboveBytes) {
      this.#paused = true;
      this.#socket.pause();
    }
  }

  // From the socket.

  data(bytes: Uint8Array): void {
    if (!this.#over) this.#handler.data(bytes);
  }

  drained(): void {
    if (!this.#over) this.#handler.drained(this.#socket.queued);
  }

  ended(): void {
    if (this.#over) return;
    this.#peerEnded = true;
    this.#handler.ended();
  }

  closed({ reset }: { readonly reset: boolean }): void {
    if (this.#over) return;
    this.#over = true;
    // Whatever was not ended before is broken off; the other end must be able to tell.
    if (reset || !this.#peerEnded || !this.#ended) this.#handler.aborted(this.#broken);
    else this.#handler.drained(0);
  }
}
