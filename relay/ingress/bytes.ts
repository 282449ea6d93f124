import type { SessionKind } from "../../shared/kind.ts";
import { streamKinds } from "../../shared/kind.ts";
import type { Listener } from "../../shared/socket.ts";
import { type BoundPort, Endpoints } from "../endpoints.ts";
import type { Names } from "../names.ts";
import type { RelayConfig } from "../relay.ts";
import type { Router } from "../router.ts";
import type { SharedNames } from "../stores/shared-names.ts";
import { TunnelWay } from "../tunnel-way.ts";
import { TcpIngress, type TcpIngressDeps } from "./tcp.ts";
import { TlsIngress } from "./tls.ts";
import { UdpIngress } from "./udp.ts";

export interface BytesIngressDeps extends TcpIngressDeps {
  readonly names: Names;
  /** Where relays share names. */
  readonly shared?: Pick<SharedNames, "commit"> | undefined;
}

/** All that visitors of tcp, tls and udp tunnels meet: public ports, and the one port of all tls tunnels. */
export class BytesIngress {
  readonly endpoints: Endpoints;
  readonly #config: RelayConfig;
  readonly #deps: BytesIngressDeps;
  readonly #tcp: TcpIngress;
  /** By name. */
  readonly #flows = new Map<string, UdpIngress>();
  #tls: { readonly listener: Listener; readonly ingress: TlsIngress } | undefined;

  constructor(config: RelayConfig, deps: BytesIngressDeps) {
    this.#config = config;
    this.#deps = deps;
    this.#tcp = new TcpIngress(deps);
    const { shared } = deps;
    this.endpoints = new Endpoints({
      ...(shared !== undefined && { commit: (name: string) => shared.commit(name) }),
      ...{ clock: deps.clock, names: deps.names, tunnels: deps.tunnels, random: config.random },
      ranges: { tcp: config.tcpPorts, udp: config.udpPorts },
      bind: (kind, port, name) => (kind === "tcp" ? this.#bindTcp(port, name) : this.#bindUdp(port, name)),
    });
  }

  get tlsPort(): number | undefined {
    return this.#tls?.listener.port;
  }

  /** Visitors of udp tunnels who were heard of lately. */
  get openFlows(): number {
    let open = 0;
    for (const { flows } of this.#flows.values()) open += flows;
    return open;
  }

  /** Whether this relay has what sessions of that kind need. */
  offers(kind: SessionKind): boolean {
    if (kind === "tcp") return this.#config.tcpPorts !== undefined;
    if (kind === "udp") return this.#config.udpPorts !== undefined;
    return kind !== "tls" || this.#tls !== undefined;
  }

  /** Opens the port of tls tunnels, if there is to be one, and those that are known from before. Rejects with `port-in-use`. */
  async listen(router: Router): Promise<void> {
    await this.#listenTls(router);
    await this.endpoints.inherit();
  }

  async #listenTls(router: Router): Promise<void> {
    const { tlsListen, accept, reusePort = false } = this.#config;
    if (tlsListen === undefined) return;
    const { clock, metrics } = this.#deps;
    const ingress = new TlsIngress({
      clock,
      metrics,
      router,
      carry: (name, socket, first) => this.#tcp.carry({ name, kind: "tls", socket, first }),
    });
    this.#tls = {
      ingress,
      listener: await accept({ ...tlsListen, reusePort }, (socket) => ingress.accept(socket)),
    };
  }

  /** An agent is back: what waited for it goes on. */
  tryAgain(name: string): void {
    this.#flows.get(name)?.tryAgain();
  }

  /** More is known of the name, which other relays share. */
  told(name: string): void {
    this.endpoints.told(name);
  }

  /** No new visitors; those who are here have so long. */
  async drain(graceMs: number): Promise<void> {
    this.#tls?.listener.close();
    this.endpoints.close();
    await this.#tcp.drain(graceMs);
  }

  /** At once. */
  close(): void {
    this.#tls?.listener.close();
    this.endpoints.close();
    this.#tls?.ingress.close();
    for (const flows of this.#flows.values()) flows.close();
  }

  #bindTcp(port: number, name: string): Promise<BoundPort> {
    const { listen, accept, tcpPorts, reusePort = false } = this.#config;
    return accept({ host: tcpPorts?.host ?? listen.host, port, reusePort }, (socket) => {
      const refusal = this.#tcp.carry({ name, kind: "tcp", socket });
      if (refusal !== undefined) socket.destroy();
    });
  }

  async #bindUdp(port: number, name: string): Promise<BoundPort> {
    const { listen, openDatagrams, udpPorts, reusePort = false } = this.#config;
    const { clock, log, metrics } = this.#deps;
    const way = new TunnelWay(this.#deps, name, "udp", streamKinds.udp);
    const flows = await UdpIngress.open({
      clock,
      openDatagrams,
      address: { host: udpPorts?.host ?? listen.host, port, reusePort },
      open: (fields, handler) => way.open(fields, handler),
      onFlow: ({ bytesIn, bytesOut, ms, code }) => {
        metrics.bytesIn += bytesIn;
        metrics.bytesOut += bytesOut;
        log.write({
          event: "stream",
          name,
          kind: "udp",
          ms,
          bytesIn,
          bytesOut,
          ...(code !== undefined && { code }),
        });
      },
    });
    this.#flows.set(name, flows);
    return {
      close: () => {
        if (this.#flows.get(name) === flows) this.#flows.delete(name);
        flows.close();
      },
    };
  }
}
