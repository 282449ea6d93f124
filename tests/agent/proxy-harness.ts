import { once } from "node:events";
import net from "node:net";
import type { Caller, Flow, FlowHandler } from "../../agent/caller.ts";
import { type ProxyOptions, type RunningProxy, startProxy } from "../../agent/local/proxy.ts";
import { dialFailureCode } from "../../agent/origins/dial-failure.ts";
import type { StreamEvent } from "../../agent/screen/events.ts";
import type { Code } from "../../shared/errors.ts";
import type { PipeEnd } from "../../shared/pipe.ts";
import { DialEnd } from "../../shared/pipe-ends/dial-end.ts";
import { dial, listen } from "../../shared/runtimes/bun-sockets.ts";
import { systemClock } from "../../shared/runtimes/system-clock.ts";
import { within } from "../blackbox/programs/within.ts";
import { FakePipeEnd } from "../shared/fake-pipe-end.ts";

export const limitMs = 20_000;

/** A caller without a relay: it dials, where a target is routed to, and refuses what it is told to refuse. */
export class DialingCaller implements Caller {
  readonly called: string[] = [];
  /** Ports on this machine by target. */
  readonly routes = new Map<string, number>();
  readonly refusals = new Map<string, Code>();
  /** Never answered; the ends that wait. */
  readonly silent = new Map<string, FakePipeEnd>();
  udpFlow: (target: string, handler: FlowHandler) => Flow = () => ({ send() {}, close() {} });

  tcp(target: string | undefined, opened: () => void): PipeEnd {
    const place = target ?? "";
    this.called.push(place);
    const refusal = this.refusals.get(place);
    const silent = this.silent.get(place);
    if (silent !== undefined) return silent;
    if (refusal !== undefined) {
      const end = new FakePipeEnd();
      queueMicrotask(() => end.handler.aborted(refusal));
      return end;
    }
    const colon = place.lastIndexOf(":");
    const host = place.slice(0, colon).replace(/^\[(.*)\]$/, "$1");
    const routed = this.routes.get(place);
    return new DialEnd({
      dial,
      target:
        routed === undefined
          ? { host, port: Number(place.slice(colon + 1)) }
          : { host: "127.0.0.1", port: routed },
      timeoutMs: limitMs,
      code: dialFailureCode,
      opened,
    });
  }

  udp(target: string, handler: FlowHandler): Flow {
    return this.udpFlow(target, handler);
  }
}

/** A proxy on a free port, with its events. */
export class ProxyHarness implements AsyncDisposable {
  readonly events: StreamEvent[] = [];
  readonly caller = new DialingCaller();
  readonly #watchers: { met: () => boolean; resolve: () => void }[] = [];
  readonly #programs: Program[] = [];
  proxy!: RunningProxy;

  static async start(options: Partial<ProxyOptions> = {}): Promise<ProxyHarness> {
    const harness = new ProxyHarness();
    harness.proxy = await startProxy({
      listen,
      listenAt: { host: "127.0.0.1", port: 0 },
      caller: harness.caller,
      clock: systemClock,
      onStream: (event) => {
        harness.events.push(event);
        for (const { met, resolve } of harness.#watchers) if (met()) resolve();
      },
      ...options,
    });
    return harness;
  }

  get url(): string {
    return `127.0.0.1:${this.proxy.port}`;
  }

  /** So many exchanges have ended. */
  ended(count: number): Promise<void> {
    const met = () => this.events.length >= count;
    if (met()) return Promise.resolve();
    const waiting = new Promise<void>((resolve) => this.#watchers.push({ met, resolve }));
    return within(waiting, limitMs, () => `${count} events, there are ${JSON.stringify(this.events)}`);
  }

  /** Opens a socket to the proxy, and says `first`. */
  async program(...first: readonly (string | Uint8Array)[]): Promise<Program> {
    const program = await Program.open(this.proxy.port);
    this.#programs.push(program);
    program.write(...first);
    return program;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { socket } of this.#programs) socket.destroy();
    await within(this.proxy.close(0), limitMs, () => `${this.proxy.sockets} sockets to close`);
  }
}

/** A program that speaks to the proxy byte by byte. */
export class Program {
  bytes: Buffer = Buffer.alloc(0);
  ended = false;
  closed = false;
  reset = false;
  readonly #watchers: { met: () => boolean; resolve: () => void }[] = [];

  private constructor(readonly socket: net.Socket) {
    socket.on("data", (chunk: Buffer) => {
      this.bytes = Buffer.concat([this.bytes, chunk]);
      this.#look();
    });
    socket.on("end", () => {
      this.ended = true;
      this.#look();
    });
    socket.on("error", () => {
      this.reset = true;
    });
    socket.on("close", () => {
      this.closed = true;
      this.#look();
    });
  }

  static async open(port: number): Promise<Program> {
    const socket = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    const program = new Program(socket);
    await once(socket, "connect");
    return program;
  }

  write(...parts: readonly (string | Uint8Array)[]): void {
    for (const part of parts)
      this.socket.write(typeof part === "string" ? Buffer.from(part, "latin1") : part);
  }
  get text(): string {
    return this.bytes.toString("latin1");
  }
  until(met: () => boolean): Promise<void> {
    if (met()) return Promise.resolve();
    const waiting = new Promise<void>((resolve) => this.#watchers.push({ met, resolve }));
    return within(waiting, limitMs, () => `more than ${JSON.stringify(this.text.slice(0, 500))}`);
  }
  /** At least so many bytes have come: these. Then they are forgotten. */
  async take(length: number): Promise<number[]> {
    await this.until(() => this.bytes.length >= length);
    const taken = [...this.bytes.subarray(0, length)];
    this.bytes = this.bytes.subarray(length);
    return taken;
  }
  async says(text: string): Promise<void> {
    await this.until(() => this.text.includes(text));
  }
  /** The proxy has half-closed, or broken off. */
  async over(): Promise<void> {
    await this.until(() => this.ended || this.closed);
  }
  #look(): void {
    for (const { met, resolve } of this.#watchers) if (met()) resolve();
  }
}

/** What came of an answer up to its body's end by Content-Length. */
export async function answer(program: Program): Promise<{ head: string; body: string }> {
  await program.says("\r\n\r\n");
  const head = program.text.slice(0, program.text.indexOf("\r\n\r\n") + 2);
  const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
  await program.take(head.length + 2);
  const body = Buffer.from(await program.take(length)).toString("latin1");
  return { head, body };
}

/** A SOCKS5 request (RFC 1928 section 4) to a name. */
export function socksRequest(name: string, port: number, command = 1): Uint8Array {
  return Uint8Array.of(
    5,
    command,
    0,
    3,
    name.length,
    ...Buffer.from(name, "latin1"),
    port >>> 8,
    port & 0xff,
  );
}

export const noAuth = Uint8Array.of(5, 1, 0);
