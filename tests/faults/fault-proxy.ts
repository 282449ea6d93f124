import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { type Cut, type Direction, type Fault, FaultyPipe } from "./faulty-pipe.ts";
import type { Weather } from "./one-way.ts";

export interface FaultProxyOptions {
  /** Sees what an end sends, before any fault befalls it; called once a pipe. */
  readonly tap?: (pipe: { readonly index: number }) => (direction: Direction, bytes: Buffer) => void;
}

interface Place {
  readonly host: string;
  readonly port: number;
}

/**
 * A TCP proxy whose lines fail when a test says so. It stands between agent and relay: `up` is towards the relay.
 *
 *     await using proxy = await FaultProxy.listen(relay.url);
 *     // agent --relay proxy.url ... (its links dial the proxy; the URLs that the relay gives are the relay's own)
 *     await proxy.pipe(1);                             // the second connection is there
 *     proxy.setWeather({ delayMs: 20, bytesPerSecond: 1e6 });   // all pipes, and those to come; {} clears it
 *     proxy.live                                       // pipes that are neither cut nor closed, oldest first
 *     const [first] = proxy.live;
 *     first.fault("reset" | "end" | "silence" | "swallow");     // one pipe: RST, FIN, black holes (see Fault)
 *     first.faultAfter(1000, "down", "end");           // once exactly 1000 more bytes came to the agent
 *     first.setWeather({ delayMs: 300 }, "up");
 *     first.taken("up"), first.given("up"), first.held("up")    // bytes: read, handed on, under way
 *     first.cut                                        // what was lost, and whether anything was
 *     await first.over;                                // closed by its ends, or cut
 *     proxy.fault("reset");                            // all live pipes at once; one Cut each
 *     proxy.arrivals = "refused" | "silent" | "through";        // what befalls who dials from now on
 *
 * A cut pipe stays cut: a black-holed pair is open and silent until `close`, whatever its ends do. Faults are done
 * synchronously. Not every pipe is a link: the agent's request for a random name is one too (give it a `--name`).
 */
export class FaultProxy {
  /** All pipes so far, in the order of arrival. */
  readonly pipes: FaultyPipe[] = [];
  /** `refused`: RST at once, nobody is dialled. `silent`: accepted, and a black hole from the first byte on. */
  arrivals: "through" | "refused" | "silent" = "through";
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #options: FaultProxyOptions;
  #weather: Weather = {};
  #arrival = Promise.withResolvers<void>();

  private constructor(target: Place, options: FaultProxyOptions) {
    this.#options = options;
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (near) => {
      this.#keep(near);
      if (this.arrivals === "through") this.#open(near, target);
      else if (this.arrivals === "refused") near.resetAndDestroy();
    });
  }

  /** `target`: a port on this machine, or the URL of what is there. */
  static async listen(target: number | string, options: FaultProxyOptions = {}): Promise<FaultProxy> {
    const proxy = new FaultProxy(placeOf(target), options);
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once("error", reject);
      proxy.#server.listen(0, "127.0.0.1", resolve);
    });
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get live(): FaultyPipe[] {
    return this.pipes.filter((pipe) => pipe.live);
  }

  /** The pipe with this index, once its dial has gone through. */
  async pipe(index: number): Promise<FaultyPipe> {
    for (;;) {
      const pipe = this.pipes[index];
      if (pipe !== undefined) return pipe;
      await this.#arrival.promise;
    }
  }

  /** Of all pipes, and of those to come. */
  setWeather(weather: Weather): void {
    this.#weather = weather;
    for (const pipe of this.live) pipe.setWeather(weather);
  }

  /** Cuts all live pipes at once. */
  fault(fault: Fault): Cut[] {
    return this.live.map((pipe) => pipe.fault(fault));
  }

  /** Each live pipe once exactly `bytes` more have gone through it in `direction`. Returns those pipes. */
  faultAfter(bytes: number, direction: Direction, fault: Fault): FaultyPipe[] {
    const pipes = this.live;
    for (const pipe of pipes) pipe.faultAfter(bytes, direction, fault);
    return pipes;
  }

  /** Lets go of everything, black holes too. */
  async close(): Promise<void> {
    for (const pipe of this.pipes) pipe.destroy();
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #open(near: Socket, target: Place): void {
    const far = connect({ ...target, allowHalfOpen: true });
    this.#keep(far);
    const failed = () => near.resetAndDestroy();
    far.once("error", failed);
    far.once("connect", () => {
      far.off("error", failed);
      if (near.destroyed) {
        far.destroy();
        return;
      }
      const index = this.pipes.length;
      const pipe = new FaultyPipe(index, near, far, this.#options.tap?.({ index }));
      pipe.setWeather(this.#weather);
      this.pipes.push(pipe);
      near.resume();
      const arrival = this.#arrival;
      this.#arrival = Promise.withResolvers();
      arrival.resolve();
    });
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    // Told by `close`; without a listener it would end the test process.
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
  }
}

function placeOf(target: number | string): Place {
  if (typeof target === "number") return { host: "127.0.0.1", port: target };
  const { hostname: host, port } = new URL(target);
  return { host, port: Number(port) };
}
