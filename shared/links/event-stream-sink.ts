import type { Socket } from "../socket.ts";

/** Where the way down of a link is written: an answer's body that goes on and on. */
export interface EventSink {
  /** Set at once by whoever gets the sink. No call of it comes from inside a call of the sink. */
  handler: EventSinkHandler;
  /** As `Socket.write`. */
  write(bytes: Uint8Array): number;
  readonly queued: number;
  /** The answer is complete, once all that is queued has gone. */
  end(): void;
  /** Breaks it off. */
  destroy(): void;
}

export interface EventSinkHandler {
  /** Some of what was queued has gone. */
  drained(): void;
  /** Nobody reads it any more. Exactly once. */
  closed(): void;
}

/** The rest of a socket's life as an answer's body: ended by the end of the socket, so in HTTP/1.0 too. */
export class SocketSink implements EventSink {
  handler: EventSinkHandler = { drained() {}, closed() {} };
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.handler = {
      // Another request can't be answered here.
      data() {},
      drained: () => this.handler.drained(),
      // Whoever asked has gone: nobody half-closes and reads on.
      ended: () => socket.destroy(),
      closed: () => this.handler.closed(),
    };
  }

  get queued(): number {
    return this.#socket.queued;
  }
  write(bytes: Uint8Array): number {
    return this.#socket.write(bytes);
  }
  end(): void {
    this.#socket.end();
  }
  destroy(): void {
    this.#socket.destroy();
  }
}
