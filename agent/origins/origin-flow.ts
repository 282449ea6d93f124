import type { DatagramHandler, DatagramSocket } from "../../shared/datagrams.ts";
import { type Code, UnderpassError } from "../../shared/errors.ts";
import { encodeHead } from "../../shared/head.ts";
import { KeptDatagrams } from "../../shared/kept-datagrams.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import { silentHandler } from "../../shared/mux/stream-handler.ts";

export interface OriginFlowHost {
  /** A datagram went, either way. */
  alive(flow: OriginFlow): void;
  /** Over; with a code: not in order. Exactly once. */
  over(flow: OriginFlow, code: Code | undefined): void;
}

const opened = encodeHead({});

/** One flow: a stream of kind udp, and the socket that speaks for its visitor. */
export class OriginFlow implements StreamHandler {
  bytesIn = 0;
  bytesOut = 0;
  readonly #stream: Stream;
  readonly #host: OriginFlowHost;
  /** What came before the socket was open. */
  readonly #early = new KeptDatagrams();
  #socket: DatagramSocket | undefined;
  #over = false;

  constructor(stream: Stream, host: OriginFlowHost) {
    this.#stream = stream;
    this.#host = host;
  }

  /** Hears the socket. That nobody listens there does not end the flow: the service may be starting. */
  readonly ear: DatagramHandler = {
    message: (bytes) => {
      if (this.#over) return;
      this.bytesOut += bytes.length;
      this.#host.alive(this);
      this.#stream.datagram(bytes);
    },
  };

  /** Goes on when the socket is open; when it can't be opened, that is the flow's end. */
  start(opening: Promise<DatagramSocket>): void {
    opening.then(
      (socket) => this.#open(socket),
      (error: unknown) => this.#fail(error instanceof UnderpassError ? error.code : "stream-failed"),
    );
  }

  // StreamHandler

  datagram(payload: Uint8Array): void {
    this.bytesIn += payload.length;
    this.#host.alive(this);
    if (this.#socket === undefined) this.#early.push(payload);
    else this.#socket.send(payload);
  }

  /** In order, from either side. */
  end(): void {
    this.#stream.end();
    this.#finish(undefined);
  }

  reset(code: Code): void {
    this.#finish(code);
  }

  data(): void {
    this.#fail("stream-state");
  }

  head(): void {}
  left(): void {}
  writable(): void {}

  #open(socket: DatagramSocket): void {
    if (this.#over) {
      socket.close();
      return;
    }
    this.#socket = socket;
    this.#stream.head(opened);
    this.#early.drain((payload) => socket.send(payload));
  }

  #fail(code: Code): void {
    if (this.#over) return;
    this.#stream.reset(code);
    this.#finish(code);
  }

  #finish(code: Code | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#stream.handler = silentHandler;
    this.#socket?.close();
    this.#host.over(this, code);
  }
}
