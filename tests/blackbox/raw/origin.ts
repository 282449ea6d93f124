import { type AddressInfo, createServer, type Server } from "node:net";
import { Body } from "./body.ts";
import { Head } from "./head.ts";
import { Wire, WireEnded } from "./wire.ts";

/** One request that reached the origin. */
export interface Exchange {
  readonly head: Head;
  readonly body: Body;
  readonly wire: Wire;
  /** Sends exactly these bytes. */
  send(bytes: Uint8Array | string): Promise<void>;
}

export type Script = (exchange: Exchange) => Promise<void> | void;

/** What an origin does until told otherwise: reads the body, answers `ok`. */
export const answerOk: Script = async (exchange) => {
  await exchange.body.text();
  await exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
};

/** An origin that tells exactly what reached it, and answers what its script says, byte for byte. */
export class RawOrigin {
  /** What answers the next request. */
  script: Script = answerOk;
  /** Every request so far, oldest first. */
  readonly exchanges: Exchange[] = [];
  /** Connections accepted so far. */
  connections = 0;
  readonly #wires = new Set<Wire>();
  readonly #server: Server;
  #arrival = Promise.withResolvers<void>();

  private constructor() {
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      this.connections++;
      void this.#serve(new Wire(socket));
    });
  }

  static async listen(script?: Script, port = 0): Promise<RawOrigin> {
    const origin = new RawOrigin();
    if (script) origin.script = script;
    await new Promise<void>((resolve, reject) => {
      origin.#server.once("error", reject);
      origin.#server.listen(port, "127.0.0.1", resolve);
    });
    return origin;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The request with this index, once it is there. */
  async arrived(index: number): Promise<Exchange> {
    for (;;) {
      const exchange = this.exchanges[index];
      if (exchange) return exchange;
      await this.#arrival.promise;
    }
  }

  async close(): Promise<void> {
    for (const wire of this.#wires) wire.close();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async #serve(wire: Wire): Promise<void> {
    this.#wires.add(wire);
    try {
      for (;;) {
        const head = await Head.read(wire);
        const body = Body.ofRequest(wire, head);
        const exchange = { head, body, wire, send: (bytes: Uint8Array | string) => wire.send(bytes) };
        this.exchanges.push(exchange);
        const arrival = this.#arrival;
        this.#arrival = Promise.withResolvers();
        arrival.resolve();
        await this.script(exchange);
        await body.text();
        if (!body.complete) break;
      }
    } catch (error) {
      if (!(error instanceof WireEnded)) throw error;
    } finally {
      this.#wires.delete(wire);
      wire.socket.end();
    }
  }
}
