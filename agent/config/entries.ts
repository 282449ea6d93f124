import { UnderpassError } from "../../shared/errors.ts";
import { kinds } from "../../shared/kind.ts";
import type { ListenAddress } from "../../shared/listen-address.ts";
import type {
  ConnectCommand,
  DialledLink,
  ExposeCommand,
  ForwardCommand,
  ProxyCommand,
} from "../command/options.ts";
import { parseTarget } from "../command/origin-address.ts";
import { checkRelayLink, type RelayLink, type RelayLinkWish } from "../command/relay-link.ts";
import { checkTunnel, type TunnelSpec } from "../command/tunnel-spec.ts";
import type { ConfigFile, TunnelEntry } from "./schema.ts";
import type { KeyPath } from "./yaml.ts";

/** What one entry of the file runs: the same command as a command line would. */
export type EntryCommand = ExposeCommand | ConnectCommand | ProxyCommand | ForwardCommand;

export interface EntriesOptions {
  /** Of the file. */
  readonly path: string;
  /** What the command line and the environment say: it wins over the file. */
  readonly link: RelayLinkWish;
  readonly listen: ListenAddress | undefined;
  /** Makes an error of a complaint about the value at `keys`. */
  readonly complain: (keys: KeyPath, message: string) => UnderpassError;
}

/** The commands that a file stands for, each with the relay and its switches; and what only shows across entries. */
export class ConfigEntries {
  /** By the key of the entry, in the file's order. */
  readonly commands = new Map<string, EntryCommand>();
  /** Where an embedded relay listens; absent: 127.0.0.1:8787 or the next free port. */
  readonly listen: ListenAddress | undefined;
  readonly #options: EntriesOptions;
  readonly #link: RelayLink;
  /** Under which heading each key stands. */
  readonly #groups = new Map<string, string>();

  /** Throws what `complain` makes. */
  constructor(file: ConfigFile, options: EntriesOptions) {
    this.#options = options;
    this.#link = this.#chooseLink(file);
    this.listen = this.#link.relays === undefined ? (options.listen ?? file.listen) : undefined;
    for (const [key, entry] of Object.entries(file.tunnels ?? {}))
      this.#add("tunnels", key, {
        command: "expose",
        tunnel: tunnelSpec(key, entry),
        link: this.#link,
        ...(this.listen && { listen: this.listen }),
      });
    for (const [key, { name = key, listen }] of Object.entries(file.connect ?? {}))
      this.#add("connect", key, { command: "connect", name, from: listen, link: this.#dialled("connect") });
    for (const [key, { listen, via, "auth-file": authFile }] of Object.entries(file.proxy ?? {}))
      this.#add("proxy", key, {
        command: "proxy",
        listen,
        ...(via !== undefined && { via }),
        ...(authFile !== undefined && { authFile: besides(options.path, authFile) }),
        link: this.#dialled("proxy"),
      });
    for (const [key, { listen, to }] of Object.entries(file.forward ?? {}))
      this.#add("forward", key, { command: "forward", listen, to: parseTarget("tcp", to) });
    this.#refuseTwins();
  }

  #chooseLink(file: ConfigFile): RelayLink {
    const { link, path, complain } = this.#options;
    const tokenFile = file["token-file"];
    const wish: RelayLinkWish = {
      relays: link.relays ?? (this.#options.listen === undefined ? file.relay : undefined),
      token: link.token ?? (tokenFile === undefined ? undefined : { file: besides(path, tokenFile) }),
      insecure: link.insecure ?? file.insecure,
      links: link.links ?? file.links,
      transport: link.transport ?? file.transport,
      websocketRetryMs: link.websocketRetryMs ?? file["websocket-retry"],
      reconnect: link.reconnect ?? !file["no-reconnect"],
      maxReconnectDelayMs: link.maxReconnectDelayMs ?? file["max-reconnect-delay"],
    };
    checkRelayLink({ ...link, relays: undefined }, "--");
    if (link.relays !== undefined) return checkRelayLink(wish, "--");
    try {
      return checkRelayLink(wish, "");
    } catch (error) {
      if (!(error instanceof UnderpassError)) throw error;
      // All else was looked at before, here or by the schema.
      throw complain(["relay"], error.message);
    }
  }

  #dialled(group: string): DialledLink {
    const { relays } = this.#link;
    if (relays === undefined)
      throw this.#options.complain([group], "needs the relay that it goes through: give relay.");
    return { ...this.#link, relays };
  }

  #add(group: string, key: string, command: EntryCommand): void {
    const other = this.#groups.get(key);
    if (other !== undefined)
      throw this.#options.complain([group, key], `there is an entry of this name under ${other}.`);
    this.#groups.set(key, group);
    this.commands.set(key, command);
  }

  /** Two tunnels of one name would take it from each other for ever. */
  #refuseTwins(): void {
    const keys = new Map<string, string>();
    for (const [key, command] of this.commands) {
      const name = command.command === "expose" ? command.tunnel.name : undefined;
      if (name === undefined) continue;
      const other = keys.get(name);
      if (other !== undefined)
        throw this.#options.complain(["tunnels", key, "name"], `${other} has the name ${name} already.`);
      keys.set(name, key);
    }
  }
}

function tunnelSpec(key: string, entry: TunnelEntry): TunnelSpec {
  const kind = kinds.find((each) => entry[each] !== undefined) ?? "http";
  return checkTunnel(
    {
      kind,
      target: entry[kind] ?? "",
      // The key: whoever writes `web:` expects to find it at web.relay.example, the same each time.
      name: entry["random-name"] === true ? undefined : (entry.name ?? key),
      remotePort: entry["remote-port"],
      proxyProtocol: entry["proxy-protocol"],
      hostHeader: entry["host-header"],
      originInsecure: entry["origin-insecure"],
      originDialTimeoutMs: entry["origin-dial-timeout"],
      originHeadTimeoutMs: entry["origin-head-timeout"],
      join: entry.join,
      allowEgress: entry["allow-egress"],
    },
    "",
  );
}

/** A path of the file at `path`, as this process finds it: what is relative is so to the file's folder. */
function besides(path: string, file: string): string {
  if (/^([/\\]|[A-Za-z]:[/\\])/.test(file)) return file;
  return path.slice(0, Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1) + file;
}
