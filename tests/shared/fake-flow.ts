import type { DatagramHandler, DatagramOptions, DatagramSocket } from "../../shared/datagrams.ts";
import type { Code } from "../../shared/errors.ts";
import { streamKinds } from "../../shared/kind.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import { silentHandler } from "../../shared/mux/stream-handler.ts";

/** One end of a udp stream, without a session: what this side says is kept. */
export class FakeFlow {
  handler: StreamHandler = silentHandler;
  readonly kind: number = streamKinds.udp;
  closed = false;
  heads = 0;
  readonly datagrams: Uint8Array[] = [];
  ended = false;
  resetCode: Code | undefined;

  get stream(): Stream {
    return this as unknown as Stream;
  }
  /** The datagrams as text. */
  get texts(): string[] {
    return this.datagrams.map((bytes) => new TextDecoder().decode(bytes));
  }

  head(): void {
    this.heads++;
  }
  /** Its session has no link. */
  stuck = false;
  datagram(payload: Uint8Array): boolean {
    if (this.stuck || this.closed || this.ended) return false;
    this.datagrams.push(payload);
    return true;
  }
  end(): void {
    this.ended = true;
  }
  reset(code: Code): void {
    this.closed = true;
    this.resetCode ??= code;
  }
}

/** A UDP socket without a network. */
export class FakeDatagramSocket implements DatagramSocket {
  readonly host = "192.0.2.1";
  readonly port = 5_353;
  /** `REMOTE TEXT` of what was sent. */
  readonly sent: string[] = [];
  closed = false;

  constructor(
    readonly options: DatagramOptions,
    readonly handler: DatagramHandler,
  ) {}

  send(bytes: Uint8Array, remote = ""): void {
    if (!this.closed) this.sent.push(`${remote} ${new TextDecoder().decode(bytes)}`.trim());
  }
  close(): void {
    this.closed = true;
  }
  /** A datagram comes. */
  comes(remote: string, text: string): void {
    this.handler.message(new TextEncoder().encode(text), remote);
  }
}

export const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
