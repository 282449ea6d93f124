import type { Clock } from "../../shared/clock.ts";
import type { OpenDatagrams } from "../../shared/datagrams.ts";
import type { ListenAddress } from "../../shared/listen-address.ts";
import type { Listen, Listener, Socket, SocketHandler } from "../../shared/socket.ts";
import type { Caller } from "../caller.ts";
import type { StreamEvent } from "../screen/events.ts";
import { HttpProxyTalk } from "./http-proxy.ts";
import type { ProxyCredentials } from "./proxy-credentials.ts";
import { proxyLimits } from "./proxy-limits.ts";
import type { ProxyPlace, ProxyTalk } from "./proxy-place.ts";
import { SocksTalk } from "./socks.ts";

export interface ProxyOptions {
  readonly listen: Listen;
  readonly listenAt: ListenAddress;
  readonly caller: Caller;
  readonly clock: Clock;
  /** For UDP ASSOCIATE, which is refused without. */
  readonly openDatagrams?: OpenDatagrams;
  /** User and password that SOCKS5 and HTTP programs must give. */
  readonly credentials?: ProxyCredentials;
  readonly onStream: (event: StreamEvent) => void;
}

/** A proxy that listens. */
export interface RunningProxy {
  readonly host: string;
  readonly port: number;
  /** Sockets of programs that are open, and those of them for which something is called or carried. */
  readonly sockets: number;
  readonly openStreams: number;
  /** Accepts no more; what is under way may finish until the grace has passed. Resolves when nothing is left. Idempotent. */
  close(graceMs: number): Promise<void>;
}

/** SOCKS5, SOCKS4a and HTTP proxy on one local port, all of it out through `caller`. Rejects with `port-in-use`. */
export async function startProxy(options: ProxyOptions): Promise<RunningProxy> {
  const front = new ProxyFront(options);
  const { host, port } = options.listenAt;
  front.listener = await options.listen({ host, port }, (socket) => front.accept(socket));
  return front;
}

const deaf: SocketHandler = { data() {}, drained() {}, ended() {}, closed() {} };

class ProxyFront implements RunningProxy, ProxyPlace {
  listener: Listener | undefined;
  readonly caller: Caller;
  readonly clock: Clock;
  readonly credentials: ProxyCredentials | undefined;
  readonly openDatagrams: OpenDatagrams | undefined;
  readonly onStream: (event: StreamEvent) => void;
  readonly #talks = new Map<Socket, ProxyTalk>();
  closing = false;
  #cancelSweep: (() => void) | undefined;
  readonly #closed = Promise.withResolvers<void>();
  #cancelGrace: (() => void) | undefined;

  constructor(options: ProxyOptions) {
    this.caller = options.caller;
    this.clock = options.clock;
    this.credentials = options.credentials;
    this.openDatagrams = options.openDatagrams;
    this.onStream = options.onStream;
  }

  get host(): string {
    return this.listener?.host ?? "";
  }
  get port(): number {
    return this.listener?.port ?? 0;
  }
  get sockets(): number {
    return this.#talks.size;
  }

  get openStreams(): number {
    let count = 0;
    for (const talk of this.#talks.values()) if (talk.busy) count++;
    return count;
  }

  accept(socket: Socket): void {
    if (this.#talks.size >= proxyLimits.maxSockets) {
      socket.handler = deaf;
      socket.destroy();
      return;
    }
    this.#talks.set(socket, new FirstByte(socket, this, (talk) => this.#talks.set(socket, talk)));
    this.#cancelSweep ??= this.#sweepLater();
  }

  forget(socket: Socket): void {
    this.#talks.delete(socket);
    if (this.#talks.size > 0) return;
    this.#cancelSweep?.();
    this.#cancelSweep = undefined;
    this.#finish();
  }

  close(graceMs: number): Promise<void> {
    this.closing = true;
    this.listener?.close();
    for (const talk of [...this.#talks.values()]) if (!talk.busy) talk.destroy();
    this.#cancelGrace?.();
    this.#cancelGrace = this.clock.at(this.clock.now() + graceMs, () => {
      for (const talk of [...this.#talks.values()]) talk.destroy();
    });
    this.#finish();
    return this.#closed.promise;
  }

  #finish(): void {
    if (!this.closing || this.#talks.size > 0) return;
    this.#cancelGrace?.();
    this.#closed.resolve();
  }

  #sweepLater(): () => void {
    const { clock } = this;
    return clock.at(clock.now() + proxyLimits.sweepMs, () => {
      this.#cancelSweep = undefined;
      for (const talk of [...this.#talks.values()]) if (talk.deadlineMs <= clock.now()) talk.timeOut();
      if (this.#talks.size > 0) this.#cancelSweep ??= this.#sweepLater();
    });
  }
}

/** A socket that has said nothing yet: the first byte tells what it speaks. */
class FirstByte implements ProxyTalk {
  readonly busy = false;
  readonly deadlineMs: number;

  constructor(
    private readonly socket: Socket,
    private readonly place: ProxyPlace,
    private readonly told: (talk: ProxyTalk) => void,
  ) {
    this.deadlineMs = place.clock.now() + proxyLimits.handshakeMs;
    socket.handler = this;
  }

  data(bytes: Uint8Array): void {
    const [first] = bytes;
    if (first === undefined) return;
    const { socket, place } = this;
    const talk =
      first === 5 || first === 4 ? new SocksTalk(socket, first, place) : new HttpProxyTalk(socket, place);
    this.told(talk);
    talk.data(bytes);
  }

  drained(): void {}

  ended(): void {
    this.socket.end();
  }

  closed(): void {
    this.place.forget(this.socket);
  }

  timeOut(): void {
    this.socket.destroy();
  }

  destroy(): void {
    this.socket.destroy();
  }
}
