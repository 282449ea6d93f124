import { UnderpassError } from "../../shared/errors.ts";
import { isKind, type Kind } from "../../shared/kind.ts";
import { type ListenAddress, parseListenAddress } from "../../shared/listen-address.ts";
import { parseDuration } from "../../shared/units.ts";
import type { CommandLine } from "./command-line.ts";
import { type OriginAddress, parseTarget } from "./origin-address.ts";
import {
  checkRelayLink,
  isLoopback,
  type RelayLink,
  type RelayLinkWish,
  type TokenSource,
} from "./relay-link.ts";
import { checkName, checkTunnel, type TunnelSpec } from "./tunnel-spec.ts";

/** One tunnel: `http`, `tcp`, `tls`, `udp`, `private`, and `--port` alone. Made by `expose` (the library) too. */
export interface ExposeCommand {
  readonly command: "expose";
  readonly tunnel: TunnelSpec;
  readonly link: RelayLink;
  /** Where an embedded relay listens; absent: 127.0.0.1:8787 or the next free port. */
  readonly listen?: ListenAddress;
}

/** Reaches the private tunnel `name` from here. */
export interface ConnectCommand {
  readonly command: "connect";
  readonly name: string;
  /** `stdio`: one pipe, by this program's own stdin and stdout. */
  readonly from: ListenAddress | "stdio";
  readonly link: DialledLink;
}

/** SOCKS5 and HTTP proxy, out at the relay or at the agents of the tunnel `via`. */
export interface ProxyCommand {
  readonly command: "proxy";
  readonly listen: ListenAddress;
  readonly via?: string;
  /** Holds one line, `user:password`, that whoever uses the proxy must say. */
  readonly authFile?: string;
  readonly link: DialledLink;
}

/** A plain TCP proxy, without a relay. */
export interface ForwardCommand {
  readonly command: "forward";
  readonly listen: ListenAddress;
  readonly to: OriginAddress;
}

/** The tunnels of underpass.yaml, or those of them that are named. */
export interface StartCommand {
  readonly command: "start";
  /** Absent: underpass.yaml in the working folder. */
  readonly config?: string;
  /** Empty: all of them. */
  readonly names: readonly string[];
  /** What the command line and the environment say: it wins over the file. */
  readonly link: RelayLinkWish;
  /** As of ExposeCommand. */
  readonly listen?: ListenAddress;
}

export interface ConfigCheckCommand {
  readonly command: "config-check";
  readonly config?: string;
}

export type AgentCommand =
  | ExposeCommand
  | ConnectCommand
  | ProxyCommand
  | ForwardCommand
  | StartCommand
  | ConfigCheckCommand;

/** No relay can be embedded where somebody else's tunnel is to be reached. */
export type DialledLink = RelayLink & { readonly relays: readonly URL[] };

/** What a person or a program gets to see. */
export interface FaceOptions {
  readonly json: boolean;
  readonly qr: boolean;
  readonly verbose: boolean;
  /** Requests and streams are not told. */
  readonly quiet: boolean;
  /** What the person should know before it starts. */
  readonly warnings: readonly string[];
}

/** The agent's command line, checked. */
export interface AgentOptions {
  readonly command: AgentCommand;
  readonly face: FaceOptions;
}

/** Checks what was given. Throws UnderpassError `usage`, `name-invalid` or `insecure-relay`, with one clear line. */
export function checkOptions(line: CommandLine): AgentOptions {
  const command = checkCommand(line);
  return {
    command,
    face: {
      json: line.flag("json") ?? false,
      qr: line.flag("qr") ?? false,
      verbose: line.flag("verbose") ?? false,
      quiet: line.flag("quiet") ?? false,
      warnings: [...(line.given("token") ? [tokenWarning] : []), ...warningsOf(command)],
    },
  };
}

const tokenWarning =
  "A token in --token is visible to every user of this machine. Rather use --token-file or UNDERPASS_TOKEN.";

/** What works, and is seldom meant. */
export function warningsOf(command: AgentCommand): readonly string[] {
  if (command.command === "proxy" && command.authFile === undefined && !isLoopback(command.listen.host))
    return ["Whoever can reach this proxy may use it. Rather listen on 127.0.0.1, or give --auth-file."];
  const offersNobody =
    command.command === "expose" &&
    command.link.relays === undefined &&
    command.tunnel.allowEgress.length > 0;
  return offersNobody ? ["Without --relay nobody can use what --allow-egress offers."] : [];
}

function checkCommand(line: CommandLine): AgentCommand {
  const { command } = line;
  const [operand = ""] = line.operands;
  if (isKind(command)) return exposeCommand(line, command);
  if (command === "connect") {
    checkName(operand);
    return { command, name: operand, from: connectFrom(line), link: dialledLink(line) };
  }
  if (command === "proxy") {
    const [via, authFile] = [line.text("via"), line.text("auth-file")];
    if (via !== undefined) checkName(via);
    return {
      command,
      listen:
        localAddress(line) ?? fail("Where should it listen? For example: proxy --listen 127.0.0.1:1080"),
      ...(via !== undefined && { via }),
      ...(authFile !== undefined && { authFile }),
      link: dialledLink(line),
    };
  }
  const config = line.text("config");
  if (command === "config-check") return { command, ...(config !== undefined && { config }) };
  if (command === "start") {
    for (const name of line.operands) checkName(name);
    return {
      command,
      ...(config !== undefined && { config }),
      names: line.operands,
      link: linkWish(line),
      ...embeddedListen(line),
    };
  }
  const to = line.text("to");
  const example = "forward --listen 127.0.0.1:5000 --to host:80";
  return {
    command: "forward",
    listen: localAddress(line) ?? fail(`Where should it listen? For example: ${example}`),
    to: parseTarget("tcp", to ?? fail(`Where should it lead? For example: ${example}`)),
  };
}

function exposeCommand(line: CommandLine, kind: Kind): ExposeCommand {
  const tunnel = checkTunnel(
    {
      kind,
      target: line.operands[0] ?? barePort(line),
      name: line.text("name"),
      remotePort: whole(line, "remote-port"),
      proxyProtocol: line.text("proxy-protocol"),
      hostHeader: line.text("host-header"),
      originInsecure: line.flag("origin-insecure"),
      originDialTimeoutMs: duration(line, "origin-dial-timeout"),
      originHeadTimeoutMs: duration(line, "origin-head-timeout"),
      join: line.flag("join"),
      allowEgress: line.list("allow-egress"),
    },
    "--",
  );
  return { command: "expose", tunnel, link: checkRelayLink(linkWish(line), "--"), ...embeddedListen(line) };
}

/** Of `--port N` without a command, or of its variable. */
function barePort(line: CommandLine): string {
  const port = line.text("port");
  if (port !== undefined && /^\d+$/.test(port)) return port;
  if (port === undefined && line.given("allow-egress"))
    fail(
      "--allow-egress goes with a tunnel, whose agents then offer it: private 22 --allow-egress '*.example:443'",
    );
  if (port === undefined) fail("What should be exposed? For example: --port 8080 (see --help)");
  return fail(`--port ${JSON.stringify(port)}: give a whole number from 1 to 65535.`);
}

function connectFrom(line: CommandLine): ListenAddress | "stdio" {
  const example = "connect NAME --listen 127.0.0.1:2222, or --stdio";
  const listen = line.argument("listen");
  if (listen !== undefined && line.given("stdio")) fail(`Give either --listen or --stdio: ${example}.`);
  if (listen === undefined && line.flag("stdio") === true) return "stdio";
  return localAddress(line) ?? fail(`Where should it listen? For example: ${example}.`);
}

/** `--listen` of a command that listens on this machine: a port alone is one of 127.0.0.1. */
function localAddress(line: CommandLine): ListenAddress | undefined {
  const text = line.text("listen");
  if (text === undefined) return undefined;
  return within("--listen", () => parseListenAddress(/^\d+$/.test(text) ? `127.0.0.1:${text}` : text));
}

/** `--listen` of a relay in this process. */
function embeddedListen(line: CommandLine): { readonly listen?: ListenAddress } {
  const text = line.text("listen");
  const relays = line.list("relay");
  if (relays !== undefined && line.argument("listen") !== undefined) {
    fail("--listen is for the relay inside this process: give it without --relay.");
  }
  if (relays !== undefined || text === undefined) return {};
  return { listen: within("--listen", () => parseListenAddress(text)) };
}

function dialledLink(line: CommandLine): DialledLink {
  const link = checkRelayLink(linkWish(line), "--");
  const { relays } = link;
  if (relays === undefined) {
    fail(`\`${line.command}\` needs the relay that it goes through: --relay https://relay.example`);
  }
  return { ...link, relays };
}

function linkWish(line: CommandLine): RelayLinkWish {
  const noReconnect = line.flag("no-reconnect");
  return {
    relays: line.list("relay"),
    token: chooseToken(line),
    insecure: line.flag("insecure"),
    links: whole(line, "links"),
    transport: line.text("transport"),
    websocketRetryMs: duration(line, "websocket-retry"),
    reconnect: noReconnect === undefined ? undefined : !noReconnect,
    maxReconnectDelayMs: duration(line, "max-reconnect-delay"),
  };
}

/** The command line wins over the environment, and there the file over the value, since it can be renewed. */
function chooseToken(line: CommandLine): TokenSource | undefined {
  const [value, file] = [line.argument("token"), line.argument("token-file")];
  if (value !== undefined && file !== undefined) fail("Give either --token-file or --token, not both.");
  if (value !== undefined) return { value: value.trim() };
  const chosen = file ?? line.environment("token-file");
  if (chosen !== undefined) return { file: chosen };
  const secret = line.environment("token");
  return secret === undefined ? undefined : { value: secret.trim() };
}

function duration(line: CommandLine, name: string): number | undefined {
  const text = line.text(name);
  if (text === undefined) return undefined;
  const ms = within(`--${name}`, () => parseDuration(text));
  if (ms <= 0) fail(`--${name} ${JSON.stringify(text)}: give a time above 0.`);
  return ms;
}

function whole(line: CommandLine, name: string): number | undefined {
  const text = line.text(name);
  if (text === undefined) return undefined;
  if (!/^\d{1,9}$/.test(text)) fail(`--${name} ${JSON.stringify(text)}: give a whole number.`);
  return Number(text);
}

/** Puts the switch's name before what its parser says. */
function within<T>(name: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof UnderpassError)) throw error;
    throw new UnderpassError(error.code, `${name}: ${error.message}`, { cause: error });
  }
}

function fail(message: string): never {
  throw new UnderpassError("usage", message);
}
