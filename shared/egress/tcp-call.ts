import type { Code } from "../errors.ts";
import { encodeHead } from "../head.ts";
import { ownBytes } from "../mux/own-bytes.ts";
import type { Stream, StreamHandler } from "../mux/stream.ts";
import type { PipeHandler } from "../pipe.ts";
import type { Dial, DialFailure, Socket } from "../socket.ts";
import { SocketEnd, type SpliceEnd, StreamEnd, splice } from "../splice.ts";
import type { Address } from "./address.ts";
import type { EgressEnd } from "./door.ts";
import type { Places } from "./places.ts";
import { type EgressRequest, EgressSearch, type SearchDeps } from "./search.ts";

export interface TcpCallDeps extends SearchDeps {
  readonly dial: Dial;
}

/** What the opener learns of a dial that failed, the most telling first: one address may refuse while another has no route. */
const failures: readonly (readonly [DialFailure, Code])[] = [
  ["refused", "origin-refused"],
  ["timeout", "origin-timeout"],
  ["no-socket", "too-many-streams"],
  ["unreachable", "origin-unreachable"],
  // A firewall on this machine, no descriptors, RST before it was open.
  ["failed", "origin-unreachable"],
];

/** A stream of kind tcp on its way to a target: the addresses are dialled in turn; from HEAD on it is a splice. */
export class TcpCall implements PipeHandler {
  readonly #end: StreamEnd;
  readonly #search: EgressSearch;
  /** What came before there was anybody to have it. Its credit is not given back, so it is a window at most. */
  #early: Uint8Array[] = [];
  #earlyBytes = 0;
  #hasEnded = false;
  #over = false;
  #addresses: readonly Address[] = [];
  readonly #failed = new Set<DialFailure>();
  #cancelDial = (): void => {};

  constructor(
    private readonly deps: TcpCallDeps,
    places: Places,
    private readonly stream: Stream,
    private readonly request: EgressRequest,
    private readonly done: (end: EgressEnd) => void,
  ) {
    this.#end = new StreamEnd(stream);
    this.#end.handler = this;
    this.#search = new EgressSearch(
      deps,
      places,
      request,
      (addresses) => {
        this.#addresses = addresses;
        this.#dial();
      },
      (code) => this.#fail(code),
    );
  }

  /** For the session. */
  get receiver(): StreamHandler {
    return this.#end.receiver;
  }

  // From the stream, before there is a far end.

  data(bytes: Uint8Array): void {
    // A copy: a small piece would keep its whole message.
    this.#early.push(ownBytes(bytes));
    this.#earlyBytes += bytes.length;
    this.#end.held(this.#earlyBytes);
  }

  drained(): void {}

  ended(): void {
    this.#hasEnded = true;
  }

  aborted(code: Code): void {
    this.#finish(code);
  }

  // To the target.

  #dial(): void {
    const [address, ...others] = this.#addresses;
    if (this.#over) return;
    if (address === undefined) {
      const [, code] = failures.find(([failure]) => this.#failed.has(failure)) ?? ["", "origin-unreachable"];
      this.#fail(code);
      return;
    }
    this.#addresses = others;
    const leftMs = this.#search.deadlineMs - this.deps.clock.now();
    const shareMs = Math.max(1, Math.floor(leftMs / (others.length + 1)));
    const { port } = this.request.target;
    this.#cancelDial = this.deps.dial({ host: address.text, port }, shareMs, {
      opened: (socket) => this.#opened(socket),
      failed: (failure) => {
        this.#failed.add(failure);
        this.#dial();
      },
    });
  }

  #opened(socket: Socket): void {
    if (this.#over) {
      socket.destroy();
      return;
    }
    this.#over = true;
    this.#search.close();
    this.stream.head(encodeHead({}));
    const far = new SocketEnd(socket, { broken: "origin-closed" });
    splice(this.#end, far, (end) => this.#tell(end));
    // The splice is the handler now.
    const { handler } = this.#end;
    for (const bytes of this.#early) handler.data(bytes);
    this.#early = [];
    if (this.#hasEnded) handler.ended();
  }

  #fail(code: Code): void {
    if (this.#over) return;
    this.stream.reset(code);
    this.#finish(code);
  }

  #finish(code: Code): void {
    if (this.#over) return;
    this.#over = true;
    this.#search.close();
    this.#cancelDial();
    this.#early = [];
    this.#tell({ forth: 0, back: 0, code });
  }

  #tell({ forth, back, code }: SpliceEnd): void {
    const { text } = this.request;
    this.done({
      target: text,
      bytesIn: forth,
      bytesOut: back,
      ...(code === undefined ? { end: "closed" } : { end: "reset", code }),
    });
  }
}
