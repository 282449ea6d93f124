import type { Network } from "../shared/egress/network.ts";
import type { Kind } from "../shared/kind.ts";
import type { ListenAddress } from "../shared/listen-address.ts";
import type { ClusterOptions } from "./cluster/cluster-options.ts";
import type { PortRange } from "./endpoints.ts";

/** Where the HS256 key comes from; the first that is given counts: text, file, one made in `data`. */
export interface SecretSource {
  /** UNDERPASS_SECRET; never a switch, because argv can be read by others. */
  readonly secretText?: string;
  readonly secretFile?: string;
  readonly data: string;
}

/** `relay serve`, checked. */
export interface RelayOptions extends SecretSource {
  readonly listen: ListenAddress;
  /** Another relay process may listen on the same address. */
  readonly reusePort: boolean;
  /** Lower case, without port; at least one. */
  readonly domains: readonly string[];
  /** An origin (`https://relay.example`), without a slash at its end. */
  readonly publicUrl?: string;
  /** Whose X-Forwarded-For is believed. */
  readonly trustedProxies?: readonly Network[];
  readonly routing: "host" | "path" | "both";
  /** Public ports that tcp and udp tunnels may have; absent: there are no such tunnels here. */
  readonly tcpPorts?: PortRange;
  readonly udpPorts?: PortRange;
  /** Where visitors of tls tunnels arrive; absent: there are none. */
  readonly tlsListen?: ListenAddress;
  /** Absent: this relay stands alone. */
  readonly cluster?: ClusterOptions;
  readonly nameTtlMs: number;
  /** `data` was asked for: what belongs there must be kept there. */
  readonly dataAsked: boolean;
  /** Paths of PEM files: https and wss without a proxy. */
  readonly tls?: { readonly cert: string; readonly key: string };
  readonly memoryBytes: number;
  readonly resumeWindowMs: number;
  readonly graceMs: number;
  /** Requests are not logged. */
  readonly quiet: boolean;
  readonly json: boolean;
}

/** `relay token`, checked. */
export interface TokenOptions extends SecretSource {
  readonly subject: string;
  readonly names?: readonly string[];
  readonly kinds?: readonly Kind[];
  readonly connect?: readonly string[];
  readonly egress?: readonly string[];
  readonly admin?: boolean;
  readonly ttlMs: number;
}

/** `relay health`, checked: where the relay of this machine is to be asked. */
export interface HealthOptions {
  readonly host: string;
  readonly port: number;
  readonly scheme: "http" | "https";
}

/** What the command line asks for. `text`: print it on stdout and exit 0 (help, version). */
export type RelayCommand =
  | { readonly command: "serve"; readonly options: RelayOptions }
  | { readonly command: "token"; readonly options: TokenOptions }
  | { readonly command: "health"; readonly options: HealthOptions }
  | { readonly command: "text"; readonly text: string };
