import { decodeHead, encodeHead } from "../../shared/head.ts";
import type { Kind } from "../../shared/kind.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import { DialEnd } from "../../shared/pipe-ends/dial-end.ts";
import { writeProxyHeader } from "../../shared/proxy-protocol.ts";
import type { Dial, DialTarget } from "../../shared/socket.ts";
import { type Splice, StreamEnd, splice } from "../../shared/splice.ts";
import type { Origin } from "../agent.ts";
import type { StreamEvent } from "../screen/events.ts";
import { dialFailureCode } from "./dial-failure.ts";
import { dialLoopback } from "./loopback.ts";

export interface TcpOriginOptions {
  readonly dial: Dial;
  /** With neither host nor path of a unix socket: the port on 127.0.0.1 or ::1, whichever answers. */
  readonly target: DialTarget;
  readonly dialTimeoutMs: number;
  /** What the tunnel is, for the events. */
  readonly kind: Exclude<Kind, "http">;
  /** The origin is told who called, by a header before the first byte. */
  readonly proxyProtocol?: "v1" | "v2";
  readonly onStream: (event: StreamEvent) => void;
}

const accepted = encodeHead({});

/** A service of bytes behind the agent: a socket of its own for each stream of a tcp, tls or private tunnel. */
export class TcpOrigin implements Origin {
  readonly #options: TcpOriginOptions;
  readonly #dial: Dial;
  readonly #open = new Set<Splice>();

  constructor(options: TcpOriginOptions) {
    this.#options = options;
    this.#dial = dialLoopback(options.dial);
  }

  open(stream: Stream, fields: Uint8Array): StreamHandler {
    const head = decodeHead(fields);
    if (head === undefined) {
      stream.reset("head-invalid");
      return stream.handler;
    }
    const { target, dialTimeoutMs: timeoutMs, proxyProtocol, kind, onStream } = this.#options;
    // Not the head itself: for the life of the stream it would keep the whole message that it came in.
    const { visitor, local } = head;
    const near = new StreamEnd(stream);
    const far = new DialEnd({
      ...{ dial: this.#dial, target, timeoutMs, code: dialFailureCode },
      opened: (socket) => {
        if (proxyProtocol !== undefined) socket.write(writeProxyHeader(proxyProtocol, { visitor, local }));
        stream.head(accepted);
      },
    });
    const pipe = splice(near, far, ({ forth, back, code }) => {
      this.#open.delete(pipe);
      onStream({
        ...{ event: "stream", kind, bytesIn: forth, bytesOut: back },
        ...(code === undefined ? { end: "closed" } : { end: "reset", code }),
      });
    });
    this.#open.add(pipe);
    return near.receiver;
  }

  /** Breaks off what is open. */
  close(): void {
    for (const pipe of this.#open) pipe.abort("origin-closed");
  }
}
