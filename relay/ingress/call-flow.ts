import type { Code } from "../../shared/errors.ts";
import { decodeHead, encodeHead } from "../../shared/head.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";

/** Two streams of kind udp joined to one flow. */
export class CallFlow {
  /** Hears the stream of the agent that calls, and the one of the agent that is called. */
  readonly near: StreamHandler;
  readonly far: StreamHandler;
  readonly #near: Stream;
  #far: Stream | undefined;
  #bytesIn = 0;
  #bytesOut = 0;
  #opened = false;
  #over = false;

  constructor(
    near: Stream,
    private readonly done: (end: { bytesIn: number; bytesOut: number; code?: Code }) => void,
  ) {
    this.#near = near;
    this.near = this.#ear(
      (payload) => {
        this.#bytesIn += payload.length;
        this.#far?.datagram(payload);
      },
      () => this.#far,
    );
    this.far = {
      ...this.#ear(
        (payload) => {
          this.#bytesOut += payload.length;
          near.datagram(payload);
        },
        () => near,
      ),
      head: (fields) => this.#open(fields),
    };
    near.handler = this.near;
  }

  join(far: Stream): void {
    this.#far = far;
  }

  refuse(code: Code): void {
    this.#near.reset(code);
    this.#finish(code);
  }

  #ear(datagram: (payload: Uint8Array) => void, opposite: () => Stream | undefined): StreamHandler {
    return {
      head: () => this.#broken("stream-state"),
      data: () => this.#broken("stream-state"),
      end: () => {
        this.#near.end();
        this.#far?.end();
        this.#finish(undefined);
      },
      left() {},
      reset: (code) => {
        opposite()?.reset(code);
        this.#finish(code);
      },
      writable() {},
      datagram,
    };
  }

  /** Once, and without fields: heads that nobody asked for would pile up for an agent that gives no credit. */
  #open(fields: Uint8Array): void {
    const head = decodeHead(fields);
    if (this.#opened) this.#broken("stream-state");
    else if (head === undefined || !head.isEmpty) this.#broken("head-invalid");
    else {
      this.#opened = true;
      this.#near.head(encodeHead({}));
    }
  }

  #broken(code: Code): void {
    this.#near.reset(code);
    this.#far?.reset(code);
    this.#finish(code);
  }

  #finish(code: Code | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.done({ bytesIn: this.#bytesIn, bytesOut: this.#bytesOut, ...(code !== undefined && { code }) });
  }
}
