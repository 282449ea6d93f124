import type { Network } from "../shared/egress/network.ts";
import type { Listen, Listener } from "../shared/socket.ts";
import { type CoreConfig, RelayCore } from "./core.ts";
import type { PortRange } from "./endpoints.ts";
import { BytesIngress } from "./ingress/bytes.ts";
import { HttpIngress } from "./ingress/http.ts";
import { OwnHost } from "./ingress/own-host.ts";
import { TrustedProxies } from "./trusted-proxies.ts";

export interface RelayConfig extends CoreConfig {
  readonly listen: { readonly host: string; readonly port: number };
  /** Another process may listen there too: the one before or after this one. */
  readonly reusePort?: boolean;
  /** The runtime's sockets. */
  readonly accept: Listen;
  /** Public ports for tcp and udp tunnels; absent: this relay offers none. */
  readonly tcpPorts?: PortRange | undefined;
  readonly udpPorts?: PortRange | undefined;
  /** Where tls tunnels are reached by the name that their visitors ask for (SNI). */
  readonly tlsListen?: { readonly host: string; readonly port: number } | undefined;
  /** Whose X-Forwarded-For is believed; absent: nobody's. */
  readonly trustedProxies?: readonly Network[] | undefined;
  /** PEM texts: https and wss without a proxy. */
  readonly tls?: { readonly cert: string; readonly key: string } | undefined;
}

export interface RunningRelay {
  readonly port: number;
  /** Its own address, without a slash at the end. */
  readonly url: string;
  /** Where tls tunnels are reached. */
  readonly tlsPort?: number;
  /**
   * No new visitors or agents; what is open gets so long to finish, and idle visitors some seconds for what they may
   * have under way. Agents are told at once, and kept until no visitor needs them. Resolves when all is closed.
   */
  stop(graceMs: number): Promise<void>;
}

/** Puts a relay on raw sockets together and starts it. Rejects with `port-in-use`. */
export async function startRelay(config: RelayConfig): Promise<RunningRelay> {
  const { publicUrl, listen, reusePort = false, trustedProxies, tls } = config;
  const core = new RelayCore(config, (ways) => new BytesIngress(config, ways));
  const { ways, router, reception, eventLinks, app, ports } = core;
  const draining = () => core.draining;
  const ownHost = new OwnHost(app, reception, ways.clock, eventLinks, draining);
  const ownScheme = tls === undefined ? "http" : "https";
  const scheme = publicUrl === undefined ? ownScheme : publicUrl.startsWith("https:") ? "https" : "http";
  const ingress = new HttpIngress({
    ...{ ...ways, router, ownHost, scheme },
    ...(trustedProxies !== undefined && { proxies: new TrustedProxies(trustedProxies) }),
  });
  let listener: Listener;
  try {
    // Before the agents come: what they dial for must be there.
    await ports.listen(router);
    listener = await config.accept({ ...listen, reusePort, ...(tls && { tls }) }, (socket) =>
      ingress.accept(socket),
    );
  } catch (error) {
    ports.close();
    ingress.close();
    throw error;
  }
  const url = `${ownScheme}://${listen.host.includes(":") ? `[${listen.host}]` : listen.host}:${listener.port}`;
  core.begin(url);

  const stop = async (graceMs: number): Promise<void> => {
    if (core.draining) return;
    listener.close();
    await core.drain(graceMs, () => Promise.all([ingress.drain(graceMs), ports.drain(graceMs)]));
    ingress.close();
    ports.close();
  };
  const { tlsPort } = ports;
  return { port: listener.port, url, stop, ...(tlsPort !== undefined && { tlsPort }) };
}
