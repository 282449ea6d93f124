import type { Code } from "../../shared/errors.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import type { Socket, SocketHandler } from "../../shared/socket.ts";

/** What has gone through when it is over. `code` where the two directions did not both end in order. */
export interface SpliceEnd {
  /** From the stream to the socket. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly code?: Code;
}

/** Joins a stream and a socket to one pipe of bytes, each direction with its own end and its own back-pressure. */
export class Splice {
  readonly #stream: Stream;
  readonly #socket: Socket;
  readonly #done: (end: SpliceEnd) => void;
  #bytesIn = 0;
  #bytesOut = 0;
  #streamEnded = false;
  #socketEnded = false;
  #over = false;

  /** Takes over the events of both. `first`: what the socket has given already. */
  constructor(stream: Stream, socket: Socket, first: Uint8Array, done: (end: SpliceEnd) => void) {
    this.#stream = stream;
    this.#socket = socket;
    this.#done = done;
    socket.handler = this.#socketSide();
    stream.handler = this.#streamSide();
    if (first.length > 0) this.#fromSocket(first);
  }

  #streamSide(): StreamHandler {
    return {
      head: () => this.#fail("stream-state"),
      data: (bytes) => {
        if (this.#over) return;
        this.#bytesIn += bytes.length;
        this.#stream.held(this.#socket.write(bytes));
      },
      end: () => {
        this.#streamEnded = true;
        this.#socket.end();
        this.#settle();
      },
      // The END has told the same already.
      left: () => {},
      reset: (code) => this.#finish(code),
      writable: () => {
        if (!this.#over) this.#socket.resume();
      },
    };
  }

  #socketSide(): SocketHandler {
    return {
      data: (bytes) => this.#fromSocket(bytes),
      drained: () => this.#stream.held(this.#socket.queued),
      ended: () => {
        this.#socketEnded = true;
        this.#stream.end();
        this.#settle();
      },
      closed: () => {
        // Whatever was not ended before is broken off; the other side must be able to tell.
        if (!this.#socketEnded || !this.#streamEnded) this.#fail("origin-closed");
      },
    };
  }

  #fromSocket(bytes: Uint8Array): void {
    if (this.#over) return;
    this.#bytesOut += bytes.length;
    if (!this.#stream.write(bytes)) this.#socket.pause();
  }

  /** Both directions have ended: what is queued in the socket still goes. */
  #settle(): void {
    if (this.#streamEnded && this.#socketEnded) this.#tell(undefined);
  }

  #fail(code: Code): void {
    if (this.#over) return;
    this.#stream.reset(code);
    this.#finish(code);
  }

  #finish(code: Code): void {
    if (this.#over) return;
    this.#tell(code);
    this.#socket.destroy();
  }

  #tell(code: Code | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#done({ bytesIn: this.#bytesIn, bytesOut: this.#bytesOut, ...(code !== undefined && { code }) });
  }
}
