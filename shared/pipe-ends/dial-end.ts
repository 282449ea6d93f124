import type { Code } from "../errors.ts";
import { ownBytes } from "../mux/own-bytes.ts";
import type { PipeEnd, PipeHandler } from "../pipe.ts";
import type { Dial, DialFailure, DialTarget, Socket } from "../socket.ts";
import { deafPipeHandler } from "./deaf.ts";
import { SocketEnd } from "./socket-end.ts";

export interface DialEndOptions {
  readonly dial: Dial;
  readonly target: DialTarget;
  readonly timeoutMs: number;
  /** What a failure is for the other end. */
  readonly code: (reason: DialFailure) => Code;
  /** The far end has accepted; nothing of it has come yet. What is written to `socket` here comes before all else. */
  readonly opened: (socket: Socket) => void;
}

/**
 * A socket that is being dialled as the end of a pipe. What is written before it is open waits (and weighs) here; a dial
 * that fails is `aborted`. An abort gives the dial up.
 */
export class DialEnd implements PipeEnd {
  #handler = deafPipeHandler;
  #end: SocketEnd | undefined;
  #cancel: (() => void) | undefined;
  #unsent: Uint8Array[] = [];
  #unsentBytes = 0;
  #ending = false;
  #over = false;

  constructor({ dial, target, timeoutMs, code, opened }: DialEndOptions) {
    this.#cancel = dial(target, timeoutMs, {
      opened: (socket) => this.#opened(socket, opened),
      failed: (reason) => {
        this.#over = true;
        this.#unsent = [];
        this.#handler.aborted(code(reason));
      },
    });
  }

  get handler(): PipeHandler {
    return this.#handler;
  }

  set handler(handler: PipeHandler) {
    this.#handler = handler;
    if (this.#end !== undefined) this.#end.handler = handler;
  }

  write(bytes: Uint8Array): number {
    if (this.#end !== undefined) return this.#end.write(bytes);
    if (this.#over || this.#ending || bytes.length === 0) return this.#unsentBytes;
    // While it waits, a small view must not pin the message that it came in.
    this.#unsent.push(ownBytes(bytes));
    this.#unsentBytes += bytes.length;
    return this.#unsentBytes;
  }

  end(): void {
    this.#ending = true;
    this.#end?.end();
  }

  abort(code: Code): void {
    this.#over = true;
    this.#unsent = [];
    this.#unsentBytes = 0;
    if (this.#end === undefined) this.#cancel?.();
    else this.#end.abort(code);
  }

  held(bytes: number): void {
    this.#end?.held(bytes);
  }

  #opened(socket: Socket, opened: (socket: Socket) => void): void {
    const end = new SocketEnd(socket, { broken: "origin-closed" });
    end.handler = this.#handler;
    this.#end = end;
    opened(socket);
    if (this.#over) return;
    for (const bytes of this.#unsent) socket.write(bytes);
    this.#unsent = [];
    this.#unsentBytes = 0;
    if (this.#ending) end.end();
    end.drained();
  }
}
