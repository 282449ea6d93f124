/** What the relay uses of Cloudflare Workers beside the web's own APIs. */
declare module "cloudflare:workers" {
  export class DurableObject<Env> {
    constructor(ctx: DurableObjectState, env: Env);
    protected readonly ctx: DurableObjectState;
    protected readonly env: Env;
  }
}

interface DurableObjectState {
  readonly storage: {
    get<T>(key: string): Promise<T | undefined>;
    put<T>(key: string, value: T): Promise<void>;
    deleteAll(): Promise<void>;
    setAlarm(atMs: number): Promise<void>;
  };
  blockConcurrencyWhile<T>(run: () => Promise<T>): Promise<T>;
}

interface WorkersSocket extends WebSocket {
  /** Takes the socket's events in this object. */
  accept(): void;
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
