import type { Clock } from "../../shared/clock.ts";
import type { Code } from "../../shared/errors.ts";
import { SocketEnd } from "../../shared/pipe-ends/socket-end.ts";
import type { Socket } from "../../shared/socket.ts";
import { sayFarewell, tlsAlert } from "./tls-farewell.ts";

export interface TlsEndOptions {
  readonly clock: Clock;
  /** The ClientHello, and what came with it. */
  readonly first: Uint8Array;
}

/**
 * A visitor of a tls tunnel as the end of a pipe. As long as nobody has answered his ClientHello he can be told by an
 * alert that nobody will (no agent in time, no origin); after that, and where the origin broke off, it is a reset.
 */
export class TlsEnd extends SocketEnd {
  readonly #socket: Socket;
  readonly #clock: Clock;
  #answered = false;

  constructor(socket: Socket, { clock, first }: TlsEndOptions) {
    super(socket, { broken: "cancelled", first });
    this.#socket = socket;
    this.#clock = clock;
  }

  override write(bytes: Uint8Array): number {
    if (bytes.length > 0) this.#answered = true;
    return super.write(bytes);
  }

  override abort(code: Code): void {
    const alert = this.#answered ? undefined : tlsAlert(code);
    if (alert === undefined) super.abort(code);
    else sayFarewell(this.#socket, alert, this.#clock);
  }
}
