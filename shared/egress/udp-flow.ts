import type { DatagramFailure, DatagramSocket, OpenDatagrams } from "../datagrams.ts";
import { type Code, UnderpassError } from "../errors.ts";
import { encodeHead } from "../head.ts";
import { ownBytes } from "../mux/own-bytes.ts";
import type { Stream, StreamHandler } from "../mux/stream.ts";
import type { Address } from "./address.ts";
import type { EgressEnd } from "./door.ts";
import { egressLimits } from "./limits.ts";
import type { Places } from "./places.ts";
import { type EgressRequest, EgressSearch, type SearchDeps } from "./search.ts";

export interface UdpFlowDeps extends SearchDeps {
  readonly openDatagrams: OpenDatagrams;
}

const failures: Readonly<Record<DatagramFailure, Code>> = {
  refused: "origin-refused",
  unreachable: "origin-unreachable",
  failed: "origin-unreachable",
};

/** A stream of kind udp to a target: a socket of its own, connected to one address, until it is idle or either side ends it. */
export class UdpFlow implements StreamHandler {
  readonly #search: EgressSearch;
  /** What came before the socket was open. */
  #early: Uint8Array[] = [];
  #earlyBytes = 0;
  #socket: DatagramSocket | undefined;
  #bytesIn = 0;
  #bytesOut = 0;
  #over = false;
  #lastMs = 0;
  #stopIdle = (): void => {};

  constructor(
    private readonly deps: UdpFlowDeps,
    places: Places,
    private readonly stream: Stream,
    private readonly request: EgressRequest,
    private readonly done: (end: EgressEnd) => void,
  ) {
    this.#search = new EgressSearch(
      deps,
      places,
      request,
      (addresses) => void this.#connect(addresses),
      (code) => this.#reset(code),
    );
  }

  // From the stream.

  datagram(payload: Uint8Array): void {
    if (this.#over) return;
    if (this.#socket !== undefined) {
      this.#send(this.#socket, payload);
      return;
    }
    // A copy: a small one would keep its whole message.
    this.#early.push(ownBytes(payload));
    this.#earlyBytes += payload.length;
    const { maxEarlyBytes, maxWaitingBytes } = egressLimits;
    while (
      this.#earlyBytes > (this.#search.isWaiting ? maxWaitingBytes : maxEarlyBytes) ||
      this.#early.length > egressLimits.maxEarlyDatagrams
    )
      this.#earlyBytes -= this.#early.shift()?.length ?? 0;
  }

  end(): void {
    this.stream.end();
    this.#finish();
  }

  reset(code: Code): void {
    this.#finish(code);
  }

  head(): void {
    this.#reset("stream-state");
  }
  data(): void {
    this.#reset("stream-state");
  }
  left(): void {}
  writable(): void {}

  // To the target.

  async #connect(addresses: readonly Address[]): Promise<void> {
    const { port } = this.request.target;
    let failure: Code = "origin-unreachable";
    for (const { text } of addresses) {
      try {
        const socket = await this.deps.openDatagrams(
          { remote: { host: text, port } },
          { message: (bytes) => this.#receive(bytes), failed: (reason) => this.#failed(reason) },
        );
        if (this.#over) socket.close();
        else this.#opened(socket);
        return;
      } catch (error) {
        if (this.#over) return;
        // No way to this address, say: the next one may be of the other family.
        failure = error instanceof UnderpassError ? error.code : "stream-failed";
      }
    }
    this.#reset(failure);
  }

  #opened(socket: DatagramSocket): void {
    this.#socket = socket;
    this.#search.settle();
    this.stream.head(encodeHead({}));
    this.#lastMs = this.deps.clock.now();
    this.#watchIdle();
    for (const payload of this.#early) this.#send(socket, payload);
    this.#early = [];
  }

  #send(socket: DatagramSocket, payload: Uint8Array): void {
    this.#lastMs = this.deps.clock.now();
    this.#bytesIn += payload.length;
    socket.send(payload);
  }

  #receive(bytes: Uint8Array): void {
    if (this.#over || this.#socket === undefined) return;
    this.#lastMs = this.deps.clock.now();
    this.#bytesOut += bytes.length;
    this.stream.datagram(bytes);
  }

  /** Nobody is there; of one that has answered before, it is not the last word. */
  #failed(reason: DatagramFailure): void {
    if (this.#bytesOut === 0) this.#reset(failures[reason]);
  }

  /** Looks when the flow would be idle if nothing went, not at each datagram. */
  #watchIdle(): void {
    this.#stopIdle = this.deps.clock.at(this.#lastMs + egressLimits.flowIdleMs, () => {
      if (this.deps.clock.now() - this.#lastMs < egressLimits.flowIdleMs) {
        this.#watchIdle();
        return;
      }
      this.stream.end();
      // The peer owes its END, and need not be waited for.
      this.stream.reset("no-error");
      this.#finish();
    });
  }

  #reset(code: Code): void {
    if (this.#over) return;
    this.stream.reset(code);
    this.#finish(code);
  }

  #finish(code?: Code): void {
    if (this.#over) return;
    this.#over = true;
    this.#search.close();
    this.#stopIdle();
    this.#socket?.close();
    this.#early = [];
    const [bytesIn, bytesOut] = [this.#bytesIn, this.#bytesOut];
    const { text: target } = this.request;
    this.done({
      target,
      bytesIn,
      bytesOut,
      ...(code === undefined ? { end: "closed" } : { end: "reset", code }),
    });
  }
}
