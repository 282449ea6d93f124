import type { Flow, FlowHandler } from "../../agent/caller.ts";
import { type ProxyOptions, type RunningProxy, startProxy } from "../../agent/local/proxy.ts";
import type { StreamEvent } from "../../agent/screen/events.ts";
import type { Code } from "../../shared/errors.ts";
import type { PipeEnd } from "../../shared/pipe.ts";
import type { Socket, SocketHandler } from "../../shared/socket.ts";
import { FakePipeEnd } from "../shared/fake-pipe-end.ts";
import { VirtualClock } from "./virtual-clock.ts";

/** A local socket without a network: what the proxy does to it is recorded, and the test is the program. */
export class FakeSocket implements Socket {
  handler: SocketHandler = { data() {}, drained() {}, ended() {}, closed() {} };
  remote = "127.0.0.1:40000";
  local = "127.0.0.1:1080";
  written: Uint8Array = new Uint8Array(0);
  queued = 0;
  ended = false;
  destroyed = false;
  paused = false;
  #closed = false;
  #peerEnded = false;

  write(bytes: Uint8Array): number {
    if (!this.ended && !this.destroyed) this.written = Buffer.concat([this.written, bytes]);
    return this.queued;
  }
  end(): void {
    this.ended = true;
    this.#settle();
  }
  destroy(): void {
    this.destroyed = true;
    this.#settle();
  }
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }

  // What the program does.

  says(bytes: Uint8Array | string): void {
    if (!this.#closed && !this.destroyed)
      this.handler.data(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
  }
  halfCloses(): void {
    if (this.#closed || this.destroyed || this.#peerEnded) return;
    this.#peerEnded = true;
    this.handler.ended();
    this.#settle();
  }
  breaks(): void {
    this.destroyed = true;
    this.#close(true);
  }
  get text(): string {
    return Buffer.from(this.written).toString("latin1");
  }
  /** The proxy has nothing more to say. */
  get over(): boolean {
    return this.ended || this.destroyed;
  }

  #settle(): void {
    // Never from inside a call.
    if (this.destroyed || (this.ended && this.#peerEnded)) queueMicrotask(() => this.#close(false));
  }
  #close(reset: boolean): void {
    if (this.#closed) return;
    this.#closed = true;
    this.handler.closed({ reset });
  }
}

/** What becomes of calls. */
export type Fate = Code | "open" | "silence";

/** A proxy without network and with virtual time. */
export class FakeProxy {
  readonly clock = new VirtualClock();
  readonly events: StreamEvent[] = [];
  readonly ends: FakePipeEnd[] = [];
  readonly called: string[] = [];
  fate: Fate = "silence";
  udpFlow: (target: string, handler: FlowHandler) => Flow = () => ({ send() {}, close() {} });
  running!: RunningProxy;
  #accept: (socket: Socket) => void = () => {};

  static async start(options: Partial<ProxyOptions> = {}): Promise<FakeProxy> {
    const proxy = new FakeProxy();
    proxy.running = await startProxy({
      listen: async ({ host, port }, accept) => {
        proxy.#accept = accept;
        return { host, port, close() {} };
      },
      listenAt: { host: "127.0.0.1", port: 1080 },
      clock: proxy.clock,
      onStream: (event) => proxy.events.push(event),
      caller: {
        tcp: (target, opened) => proxy.#call(target ?? "", opened),
        udp: (target, handler) => proxy.udpFlow(target, handler),
      },
      ...options,
    });
    return proxy;
  }

  socket(): FakeSocket {
    const socket = new FakeSocket();
    this.#accept(socket);
    return socket;
  }

  #call(target: string, opened: () => void): PipeEnd {
    const { fate } = this;
    const end = new FakePipeEnd();
    this.ends.push(end);
    this.called.push(target);
    queueMicrotask(() => {
      if (end.abortedWith !== undefined) return;
      if (fate === "open") opened();
      else if (fate !== "silence") end.handler.aborted(fate);
    });
    return end;
  }
}

/** Lets what was put off by a microtask happen. */
export async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}
