import type { Code } from "../../shared/errors.ts";
import { encodeHead } from "../../shared/head.ts";
import { streamKinds } from "../../shared/kind.ts";
import type { PassageDeps } from "../../shared/passage.ts";
import { PassageEnd } from "../../shared/passage-end.ts";
import type { Socket } from "../../shared/socket.ts";
import { SocketEnd, splice } from "../../shared/splice.ts";
import type { RelayLog } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import { TunnelWay, type WayDeps } from "../tunnel-way.ts";
import { TlsEnd } from "./tls-end.ts";

export interface TcpIngressDeps extends PassageDeps, WayDeps {
  readonly metrics: Metrics;
  readonly log: RelayLog;
}

/** A visitor who has come for bytes. */
export interface TcpVisitor {
  readonly name: string;
  readonly kind: "tcp" | "tls";
  readonly socket: Socket;
  /** What he has sent already. */
  readonly first?: Uint8Array;
}

/** Bounded as files are: each visitor has a socket here. */
const maxVisitors = 60_000;

/** Visitors of tcp and tls tunnels: a socket each, joined to a stream. One that waits for an agent in vain is dropped. */
export class TcpIngress {
  readonly #deps: TcpIngressDeps;
  readonly #open = new Set<Socket>();
  #emptied: (() => void) | undefined;

  constructor(deps: TcpIngressDeps) {
    this.#deps = deps;
  }

  /** Takes a visitor's socket. Returns the code of a refusal: then the socket is still the caller's. */
  carry({ name, kind, socket, first }: TcpVisitor): Code | undefined {
    if (this.#open.size >= maxVisitors) return "too-many-requests";
    const deps = this.#deps;
    const startedMs = deps.clock.now();
    const far = new PassageEnd(deps, new TunnelWay(deps, name, kind, streamKinds.tcp));
    const refusal = far.start(encodeHead({ visitor: socket.remote, local: socket.local }));
    if (refusal !== undefined) {
      deps.metrics.refused(refusal);
      return refusal;
    }
    this.#open.add(socket);
    const near =
      kind === "tls" && first !== undefined
        ? new TlsEnd(socket, { clock: deps.clock, first })
        : new SocketEnd(socket, { broken: "cancelled", ...(first && { first }) });
    splice(near, far, ({ forth, back, code }) => {
      this.#open.delete(socket);
      far.settle();
      deps.metrics.bytesIn += forth;
      deps.metrics.bytesOut += back;
      const ms = deps.clock.now() - startedMs;
      deps.log.write({
        ...{ event: "stream", name, kind, ms, bytesIn: forth, bytesOut: back },
        ...(code !== undefined && { code }),
      });
      if (this.#open.size === 0) this.#emptied?.();
    });
    return undefined;
  }

  /** Resolves when no visitor is left, or with `graceMs`; who is left then is cut off. */
  async drain(graceMs: number): Promise<void> {
    const { clock } = this.#deps;
    if (this.#open.size > 0)
      await new Promise<void>((resolve) => {
        const cancel = clock.at(clock.now() + graceMs, resolve);
        this.#emptied = () => {
          cancel();
          resolve();
        };
      });
    for (const socket of this.#open) socket.destroy();
  }
}
