/** What the relay uses of Cloudflare Workers beside the web's own APIs. */
declare module "cloudflare:workers" {
  export class DurableObject<Env> {
    constructor(ctx: DurableObjectState, env: Env);
    protected readonly ctx: DurableObjectState;
    protected readonly env: Env;
  }
}

declare module "cloudflare:sockets" {
  /** Opens a TCP socket. IPv6 stands in brackets. Throws where the address is none, and outside of an event. */
  export function connect(
    address: { readonly hostname: string; readonly port: number },
    options: {
      /** The writable side stays open when the peer has ended. */
      readonly allowHalfOpen: boolean;
      readonly secureTransport: "off";
    },
  ): TcpSocket;
}

interface TcpSocket {
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** A write resolves when the network has taken it. */
  readonly writable: WritableStream<Uint8Array>;
  /** Rejects when it can't be opened. */
  readonly opened: Promise<unknown>;
  readonly closed: Promise<void>;
  /** Closes both directions once it is open and the write under way has gone; then it resolves. */
  close(): Promise<void>;
}

interface DurableObjectState {
  readonly storage: {
    get<T>(key: string): Promise<T | undefined>;
    list<T>(): Promise<Map<string, T>>;
    put<T>(key: string, value: T): Promise<void>;
    delete(key: string): Promise<boolean>;
    deleteAll(): Promise<void>;
    getAlarm(): Promise<number | null>;
    setAlarm(atMs: number): Promise<void>;
    deleteAlarm(): Promise<void>;
  };
  readonly id: { readonly name?: string };
  blockConcurrencyWhile<T>(run: () => Promise<T>): Promise<T>;
  /** The platform keeps the socket while the object sleeps; its events come to the object itself. */
  acceptWebSocket(socket: WorkersSocket): void;
  getWebSockets(): WorkersSocket[];
  /** The platform answers this message by itself, on all sockets; without an argument it does not. */
  setWebSocketAutoResponse(pair?: WebSocketRequestResponsePair): void;
  getWebSocketAutoResponseTimestamp(socket: WorkersSocket): Date | null;
}

declare class WebSocketRequestResponsePair {
  constructor(request: string, response: string);
}

interface WorkersSocket extends WebSocket {
  /** Takes the socket's events in this object. */
  accept(): void;
  /** Plain data of at most 16 KiB that outlives the object's sleep; else it throws. */
  serializeAttachment(value: unknown): void;
  deserializeAttachment(): unknown;
}

declare const WebSocketPair: new () => { readonly 0: WorkersSocket; readonly 1: WorkersSocket };

/** Passes bytes on natively; a write resolves when they were read. */
declare class IdentityTransformStream {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
}

/** The same with a length, which becomes the answer's Content-Length. */
declare class FixedLengthStream extends IdentityTransformStream {
  constructor(length: number);
}

interface ResponseInit {
  webSocket?: WorkersSocket;
  /** `manual`: the body has the Content-Encoding that the headers name already. */
  encodeBody?: "automatic" | "manual";
}
