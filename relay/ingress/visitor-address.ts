import type { RequestHead } from "../../shared/http1/head.ts";
import { ForwardedLines } from "../forwarded.ts";
import type { HttpIngressDeps } from "./ingress-deps.ts";

/** Who calls on a socket: its other end, or, for one request, whom a trusted proxy at that end names. */
export class VisitorAddress {
  /** `address:port`; port 0 where only a proxy knows it. */
  remote: string;
  /** What origins are told. */
  forwarded: ForwardedLines;
  private readonly proxied: boolean;

  constructor(
    private readonly peer: string,
    private readonly deps: Pick<HttpIngressDeps, "scheme" | "proxies">,
  ) {
    this.remote = peer;
    this.forwarded = new ForwardedLines({ remote: peer, scheme: deps.scheme });
    this.proxied = deps.proxies?.has(peer) === true;
  }

  /** Each request of a proxy's socket may be another visitor's; `head` is its. */
  learn(head: RequestHead): void {
    if (!this.proxied) return;
    const { proxies, scheme } = this.deps;
    const remote = proxies?.visitorOf(head.fields) ?? this.peer;
    if (remote === this.remote) return;
    this.remote = remote;
    this.forwarded = new ForwardedLines({ remote, scheme });
  }
}
