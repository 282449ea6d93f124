import type { Clock } from "../../shared/clock.ts";
import type { PipeEnd } from "../../shared/pipe.ts";
import type { Listen, Listener, Socket } from "../../shared/socket.ts";
import { SocketEnd, type Splice, type SpliceEnd, splice } from "../../shared/splice.ts";
import type { StreamEvent } from "../screen/events.ts";

/** Two sockets each: below what a system gives one process where it was raised, so that the rest goes on working. */
const maxOpen = 30_000;

export interface DoorwayOptions {
  readonly listen: Listen;
  readonly clock: Clock;
  readonly listenAt: { readonly host: string; readonly port: number };
  readonly kind: StreamEvent["kind"];
  /** Where each visitor's bytes go. `opened`: the far end has accepted; before that nothing is read from him. */
  readonly call: (opened: () => void) => PipeEnd;
  /** Visitors above it are cut off at once. */
  readonly maxOpen?: number;
  readonly onStream: (event: StreamEvent) => void;
}

/** A port on this machine: each visitor's socket is joined to an end of its own somewhere else. */
export class Doorway {
  readonly #options: DoorwayOptions;
  readonly #open = new Set<Splice>();
  #listener: Listener | undefined;
  #emptied: (() => void) | undefined;

  /** Use `openDoorway`. */
  constructor(options: DoorwayOptions) {
    this.#options = options;
  }

  /** Rejects with UnderpassError `port-in-use`. */
  async listen(): Promise<void> {
    const { listen, listenAt } = this.#options;
    this.#listener = await listen(listenAt, (socket) => this.#accept(socket));
  }

  get host(): string {
    return this.#listener?.host ?? this.#options.listenAt.host;
  }

  /** The one that was really taken. */
  get port(): number {
    return this.#listener?.port ?? 0;
  }

  get openStreams(): number {
    return this.#open.size;
  }

  /** Breaks off all that is open. */
  abandon(): void {
    for (const pipe of this.#open) pipe.abort("going-away");
  }

  /** Stops accepting, lets what is open finish for `graceMs`, and breaks off the rest. */
  async close(graceMs: number): Promise<void> {
    const { clock } = this.#options;
    this.#listener?.close();
    if (this.#open.size > 0 && graceMs > 0) {
      await new Promise<void>((resolve) => {
        const cancel = clock.at(clock.now() + graceMs, resolve);
        this.#emptied = () => {
          cancel();
          resolve();
        };
      });
    }
    this.abandon();
  }

  #accept(socket: Socket): void {
    if (this.#open.size >= (this.#options.maxOpen ?? maxOpen)) {
      socket.destroy();
      this.#tell({ forth: 0, back: 0, code: "too-many-requests" });
      return;
    }
    const near = new SocketEnd(socket, { broken: "cancelled" });
    // Nothing is read before there is somebody to have it: what a visitor sends to a dead target stays with him.
    near.held(Number.POSITIVE_INFINITY);
    const far = this.#options.call(() => near.held(0));
    const pipe = splice(near, far, (end) => {
      this.#open.delete(pipe);
      this.#tell(end);
      if (this.#open.size === 0) this.#emptied?.();
    });
    this.#open.add(pipe);
  }

  #tell({ forth, back, code }: SpliceEnd): void {
    this.#options.onStream({
      event: "stream",
      kind: this.#options.kind,
      bytesIn: forth,
      bytesOut: back,
      ...(code === undefined ? { end: "closed" } : { end: "reset", code }),
    });
  }
}

/** Begins to listen. Rejects with UnderpassError `port-in-use`. */
export async function openDoorway(options: DoorwayOptions): Promise<Doorway> {
  const doorway = new Doorway(options);
  await doorway.listen();
  return doorway;
}
