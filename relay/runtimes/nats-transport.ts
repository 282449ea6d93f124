import { type ConnectionOptions, errors, type NatsConnection } from "@nats-io/nats-core";
import {
  extractProtocolMessage,
  INFO,
  NatsConnectionImpl,
  type Server,
  setTransportFactory,
  type Transport,
} from "@nats-io/nats-core/internal";
import * as v from "valibot";
import manifest from "../../package.json" with { type: "json" };
import { dial, startTls } from "../../shared/runtimes/node-sockets.ts";
import type { DialFailure, Socket, SocketHandler } from "../../shared/socket.ts";

/** Of the server's first line, which names all servers of its cluster. */
const maxInfoBytes = 65_536;

const infoShape = v.object({
  tls_required: v.optional(v.boolean(), false),
  tls_available: v.optional(v.boolean(), false),
});

/** For a person. */
const failures: Readonly<Partial<Record<DialFailure, string>>> = {
  refused: "connection refused",
  timeout: "no answer",
};

/**
 * Over sockets of ours, on Bun and Deno alike: the library's own (`@nats-io/transport-node` 3.4.0) leaves one open that
 * it gave up while it was dialled, and takes the listener for errors from one that it ends, where Deno may tell one yet,
 * which ends the process.
 */
export function connectBySocket(options: ConnectionOptions): Promise<NatsConnection> {
  setTransportFactory({ factory: () => new SocketTransport() });
  return NatsConnectionImpl.connect(options);
}

/** One socket to a server of NATS; after its first line with TLS, where it offers that. */
class SocketTransport implements Transport {
  readonly lang = "underpass";
  readonly version = manifest.version;
  closeError?: Error;
  readonly #ready = Promise.withResolvers<void>();
  readonly #over = Promise.withResolvers<undefined | Error>();
  /** `greeted`: the first line has come. */
  #state: "new" | "greeted" | "ready" | "over" = "new";
  #host = "";
  #wantsTls = false;
  #timeoutMs = 0;
  #isEncrypted = false;
  #socket: Socket | undefined;
  #giveUp: () => void = () => {};
  /** What came, and the library has not read. */
  #came: Uint8Array[] = [];
  #wake: () => void = () => {};

  readonly #handler: SocketHandler = {
    data: (bytes) => {
      this.#came.push(bytes);
      if (this.#state === "new") this.#readInfo();
      else this.#wake();
    },
    drained: () => {},
    ended: () => this.#end(undefined),
    closed: () => this.#end(undefined),
  };

  /** The library gives up after `timeout` all in all. */
  connect({ hostname: host, port }: Server, { tls, timeout = 0 }: ConnectionOptions): Promise<void> {
    this.#host = host;
    this.#wantsTls = tls !== undefined && tls !== null;
    this.#timeoutMs = timeout;
    this.#giveUp = dial({ host, port }, timeout, {
      opened: (socket) => this.#use(socket),
      failed: (reason, detail) => this.#failed(reason, detail),
    });
    return this.#ready.promise;
  }

  async *[Symbol.asyncIterator](): AsyncIterableIterator<Uint8Array> {
    for (;;) {
      const came = this.#came;
      this.#came = [];
      yield* came;
      if (this.#came.length > 0) continue;
      if (this.isClosed) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  get isClosed(): boolean {
    return this.#state === "over";
  }

  isEncrypted(): boolean {
    return this.#isEncrypted;
  }

  send(frame: Uint8Array): void {
    this.#socket?.write(frame);
  }

  async close(error?: Error): Promise<void> {
    this.#end(error);
  }

  disconnect(): void {
    this.#end(undefined);
  }

  discard(): void {
    this.#end(undefined);
  }

  /** Resolves for one that was ready; of others `connect` tells. */
  closed(): Promise<undefined | Error> {
    return this.#over.promise;
  }

  #use(socket: Socket): void {
    this.#giveUp = () => {};
    this.#socket = socket;
    socket.handler = this.#handler;
  }

  #failed(reason: DialFailure, detail: string): void {
    this.#end(new errors.ConnectionError(failures[reason] ?? detail));
  }

  /** The line is left for the library, which reads it, too. */
  #readInfo(): void {
    const [first = new Uint8Array()] = this.#came;
    const bytes = this.#came.length === 1 ? first : new Uint8Array(this.#came.flatMap((piece) => [...piece]));
    this.#came = [bytes];
    const line = extractProtocolMessage(bytes);
    if (line === "" && bytes.length <= maxInfoBytes) return;
    try {
      const info = v.parse(infoShape, JSON.parse(INFO.exec(line)?.[1] ?? ""));
      this.#greeted(info.tls_required || info.tls_available);
    } catch {
      this.#end(new errors.ConnectionError("what answers is no NATS"));
    }
  }

  #greeted(offersTls: boolean): void {
    this.#state = "greeted";
    const socket = this.#socket;
    if (socket === undefined) return;
    if (!offersTls) {
      if (this.#wantsTls) this.#end(new errors.ConnectionError("it offers no TLS"));
      else this.#begin();
      return;
    }
    this.#socket = undefined;
    const target = { serverName: this.#host, insecure: false };
    this.#giveUp = startTls(socket, target, this.#timeoutMs, {
      opened: (secure) => {
        this.#isEncrypted = true;
        this.#use(secure);
        this.#begin();
      },
      failed: (reason, detail) => this.#failed(reason, detail),
    });
  }

  #begin(): void {
    this.#state = "ready";
    this.#ready.resolve();
  }

  #end(error: Error | undefined): void {
    if (this.#state === "over") return;
    const wasReady = this.#state === "ready";
    this.#state = "over";
    if (error !== undefined) this.closeError = error;
    this.#giveUp();
    this.#socket?.destroy();
    this.#socket = undefined;
    this.#wake();
    if (wasReady) this.#over.resolve(error);
    else this.#ready.reject(error ?? new errors.ConnectionError("it hung up"));
  }
}
