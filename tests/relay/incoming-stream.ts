import type { Code } from "../../shared/errors.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import { silentHandler } from "../../shared/mux/stream-handler.ts";

/** A stream that an agent or a neighbour opened, as the relay's session with it would hand it in: what is said on it is kept. */
export class IncomingStream {
  handler: StreamHandler = silentHandler;
  readonly said: string[] = [];
  heldBytes = -1;
  queued = 0;
  isFull = false;

  constructor(readonly kind: number) {}

  get stream(): Stream {
    return this as unknown as Stream;
  }
  head(): void {
    this.said.push("HEAD");
  }
  write(bytes: Uint8Array): boolean {
    this.said.push(`DATA ${bytes.length}`);
    this.queued += bytes.length;
    return !this.isFull;
  }
  give(bytes: Uint8Array): boolean {
    return this.write(bytes);
  }
  datagram(bytes: Uint8Array): boolean {
    this.said.push(`DATAGRAM ${bytes.length}`);
    return true;
  }
  end(): void {
    this.said.push("END");
  }
  reset(code: Code): void {
    this.said.push(`RESET ${code}`);
  }
  held(bytes: number): void {
    this.heldBytes = bytes;
  }
}
