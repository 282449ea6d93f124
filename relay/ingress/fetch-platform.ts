import type { MessageSocket } from "../../shared/links/message-socket.ts";
import type { FieldText } from "./fetch-head.ts";

/** What a platform without sockets offers beside Request and Response. */
export interface FetchPlatform {
  readonly fieldText: FieldText;
  /**
   * A pipe of bytes: a write to it resolves when the reader has taken the bytes. `length`, where known, becomes the
   * answer's Content-Length, and an end before it an abort that the visitor sees.
   */
  bodyPipe(length: number | undefined): {
    readonly readable: ReadableStream<Uint8Array>;
    readonly writable: WritableStream<Uint8Array>;
  };
  /** An answer whose body is passed on as it is, whatever its Content-Encoding says. */
  respond(
    body: ReadableStream<Uint8Array> | null,
    status: number,
    reason: string,
    headers: Headers,
  ): Response;
  /** Accepts an upgrade: our end of the visitor's WebSocket, and the 101 that gives him the other. */
  upgrade(headers: Headers): { readonly socket: MessageSocket; readonly response: Response };
}
