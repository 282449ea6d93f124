import type { HttpFault } from "../../shared/http1/fault.ts";
import type { Framing } from "../../shared/http1/framing.ts";
import type { ReadResponseHead } from "../../shared/http1/read-head.ts";
import { HttpReader, type HttpReaderHandler } from "../../shared/http1/reader.ts";
import type { Socket, SocketHandler } from "../../shared/socket.ts";
import type { Newcomer } from "./crowd.ts";

/** Who has a socket for one exchange. */
export interface OriginUser {
  responseHead(head: ReadResponseHead, framing: Framing): void;
  responseBody(bytes: Uint8Array): void;
  responseTrailers(fields: string[]): void;
  /** Complete: give the socket back. */
  responseEnd(): void;
  responseFault(fault: HttpFault): void;
  /** Some of what was queued has gone. */
  drained(): void;
  /** The socket is gone, in mid-exchange. */
  lost(): void;
}

/** What a socket tells its pool. */
export interface OriginSocketOwner {
  /** The origin has said something for the first time. */
  firstByte(socket: OriginSocket): void;
  /** The origin half-closed it while nobody used it. */
  ended(socket: OriginSocket): void;
  /** It is gone, or no longer fit for use. May come more than once. */
  gone(socket: OriginSocket): void;
}

/** A socket to the origin with its reader. Without a user it is idle, and must stay silent. */
export class OriginSocket implements SocketHandler, HttpReaderHandler<ReadResponseHead> {
  readonly reader = new HttpReader("response", this);
  user: OriginUser | undefined;
  /** Since the origin has served it, it is known to be accepted. */
  served = false;

  constructor(
    readonly socket: Socket,
    readonly newcomer: Newcomer,
    private readonly owner: OriginSocketOwner,
  ) {
    socket.handler = this;
  }

  data(bytes: Uint8Array): void {
    if (!this.served) this.owner.firstByte(this);
    this.reader.push(bytes);
  }

  drained(): void {
    this.user?.drained();
  }

  ended(): void {
    const idle = this.user === undefined;
    this.reader.finish();
    if (idle) this.owner.ended(this);
  }

  closed(): void {
    const { user } = this;
    this.user = undefined;
    this.owner.gone(this);
    user?.lost();
  }

  // From the reader.

  head(head: ReadResponseHead, framing: Framing): void {
    this.user?.responseHead(head, framing);
  }

  body(bytes: Uint8Array): void {
    this.user?.responseBody(bytes);
  }

  trailers(fields: string[]): void {
    this.user?.responseTrailers(fields);
  }

  end(): void {
    this.user?.responseEnd();
  }

  fault(fault: HttpFault): void {
    if (this.user === undefined) this.owner.gone(this);
    else this.user.responseFault(fault);
  }
}
