/** What the relay uses of Deno beside the web's and Node's APIs; `deno check` has types of its own. */
declare namespace Deno {
  interface NetAddr {
    readonly transport: "tcp" | "udp";
    readonly hostname: string;
    readonly port: number;
  }

  /** `path` or `cid`: no place in a network. */
  interface LocalAddr {
    readonly transport: "unix" | "unixpacket" | "vsock";
  }

  type Addr = NetAddr | LocalAddr;

  interface ServeHandlerInfo {
    readonly remoteAddr: Addr;
  }

  interface HttpServer {
    /** Accepts nothing more, and resolves when all that is under way has finished. */
    shutdown(): Promise<void>;
  }

  function serve(
    options: {
      readonly automaticCompression?: boolean;
      readonly onListen?: (address: Addr) => void;
      readonly onError?: (error: unknown) => Response;
    },
    handler: (request: Request, info: ServeHandlerInfo) => Response | Promise<Response>,
  ): HttpServer;

  function upgradeWebSocket(
    request: Request,
    options: { readonly idleTimeout?: number; readonly protocol?: string },
  ): { readonly socket: WebSocket; readonly response: Response };
}
