import { type ClientHello, readClientHello } from "./client-hello.ts";
import type { ClientHelloFault } from "./client-hello-fault.ts";
import { clientHelloBody } from "./handshake-message.ts";
import { helloLimits } from "./limits.ts";

/** A ClientHello, and all that was read until it was complete, exactly as it came. */
export interface ReadHello extends ClientHello {
  readonly bytes: Uint8Array;
}

const nothing = new Uint8Array(0);

/** Reads the ClientHello at the beginning of a TLS conversation, in records and pieces of any size. Nothing is waited for here. */
export class ClientHelloReader {
  #buffer = nothing;
  #length = 0;
  #over = false;

  /** So many bytes are kept: at most `helloLimits.maxBytes`, and none after a result. */
  get heldBytes(): number {
    return this.#length;
  }

  /** Takes the next bytes, which must not change after. undefined: more are needed. Nothing is read after a result. */
  push(bytes: Uint8Array): ReadHello | ClientHelloFault | undefined {
    if (this.#over) return undefined;
    const before = this.#length;
    // Usually the first piece has all, and nothing is copied. What is above the bound is never looked at.
    const seen = before === 0 ? bytes.subarray(0, helloLimits.maxBytes) : this.#keep(bytes);
    const body = clientHelloBody(seen);
    if (body === undefined) {
      if (before === 0) this.#keep(bytes);
      return undefined;
    }
    const read = body instanceof Uint8Array ? readClientHello(body) : body;
    const result = read.kind === "fault" ? read : { ...read, bytes: this.#all(before, bytes) };
    this.#over = true;
    this.#buffer = nothing;
    this.#length = 0;
    return result;
  }

  /** As many of `bytes` as the bound lets in, after those that are here. */
  #keep(bytes: Uint8Array): Uint8Array {
    const part = bytes.subarray(0, helloLimits.maxBytes - this.#length);
    const length = this.#length + part.length;
    if (length > this.#buffer.length) {
      const larger = new Uint8Array(
        Math.min(helloLimits.maxBytes, Math.max(length, 2 * this.#buffer.length)),
      );
      larger.set(this.#buffer.subarray(0, this.#length));
      this.#buffer = larger;
    }
    this.#buffer.set(part, this.#length);
    this.#length = length;
    return this.#buffer.subarray(0, length);
  }

  #all(before: number, bytes: Uint8Array): Uint8Array {
    if (before === 0) return bytes;
    const all = new Uint8Array(before + bytes.length);
    all.set(this.#buffer.subarray(0, before));
    all.set(bytes, before);
    return all;
  }
}
