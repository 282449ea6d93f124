import { fieldValue, type ResponseHead } from "../http1/head.ts";
import { HttpReader } from "../http1/reader.ts";
import type { Dial, DialTarget, Socket } from "../socket.ts";

export interface PostSocketHandler {
  /** It is open: what was to be sent has been handed on. */
  opened(): void;
  /** Some of what was written has gone. */
  drained(): void;
  /** The answer to the POST is complete. `staysOpen`: another may be sent. */
  answered(status: number, options: { readonly staysOpen: boolean }): void;
  /** It could not be opened. Nothing comes after. */
  failed(): void;
  /** It is gone, or of no use any more. Nothing comes after. */
  broken(): void;
}

const limits = {
  dialTimeoutMs: 10_000,
  maxAnswerHeadBytes: 16_384,
  /** Only the status counts; what comes with it is dropped up to this. */
  maxAnswerBodyBytes: 65_536,
} as const;

/** A socket that takes POSTs, one after the other, and reads their answers. */
export class PostSocket {
  readonly #reader: HttpReader<"response">;
  readonly #giveUp: () => void;
  #socket: Socket | undefined;
  /** To be sent once it is open. */
  #request: Uint8Array | undefined;
  #closed = false;

  constructor(dial: Dial, target: DialTarget, handler: PostSocketHandler) {
    let head: ResponseHead | undefined;
    let bodyBytes = 0;
    const broken = (): void => {
      if (this.#closed) return;
      this.close();
      handler.broken();
    };
    this.#reader = new HttpReader(
      "response",
      {
        head(got) {
          head = got;
          bodyBytes = 0;
        },
        body(bytes) {
          bodyBytes += bytes.length;
          if (bodyBytes > limits.maxAnswerBodyBytes) broken();
        },
        trailers() {},
        end: () => {
          if (this.#closed || head === undefined) return;
          const connection = fieldValue(head.fields, "connection")?.toLowerCase();
          const staysOpen = head.minor === 1 && connection?.includes("close") !== true;
          handler.answered(head.status, { staysOpen: staysOpen && !this.#reader.surplus });
        },
        fault: broken,
      },
      { maxHeadBytes: limits.maxAnswerHeadBytes },
    );
    this.#giveUp = dial(target, limits.dialTimeoutMs, {
      opened: (socket) => {
        this.#socket = socket;
        socket.handler = {
          data: (bytes) => this.#reader.push(bytes),
          drained: () => this.#closed || handler.drained(),
          ended: () => {
            this.#reader.finish();
            broken();
          },
          closed: broken,
        };
        if (this.#request !== undefined) this.send(this.#request);
        handler.opened();
      },
      failed: () => {
        if (this.#closed) return;
        this.#closed = true;
        handler.failed();
      },
    });
  }

  /** Bytes of the POST that have not left. */
  get queued(): number {
    return this.#socket?.queued ?? this.#request?.length ?? 0;
  }

  /** Takes the next POST, now or once it is open. Not before the one before it was answered. */
  send(request: Uint8Array): void {
    if (this.#socket === undefined) {
      this.#request = request;
      return;
    }
    this.#request = undefined;
    this.#reader.expect("POST");
    this.#socket.write(request);
  }

  /** Closes it, without a word to the handler. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#giveUp();
    this.#socket?.destroy();
  }
}
