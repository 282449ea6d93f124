import { type Kind, kinds } from "../../shared/kind.ts";
import { wishKinds } from "./tunnel-spec.ts";

/** A command of the agent, as `CommandLine` tells it: `config check` is one word here. */
export type CommandName = Kind | "connect" | "proxy" | "forward" | "start" | "config-check";

/** A switch as the table lists it. `value` absent: a yes-or-no switch. */
export interface Switch {
  readonly name: string;
  readonly value?: string;
  readonly text: string;
  readonly example: string;
  /** The commands that it means something to; to all others it is bad usage. */
  readonly commands: readonly CommandName[];
  /** May be given several times; its variable has commas. */
  readonly list?: true;
  /** In place of `text` and `example` in the help of some commands. */
  readonly variants?: readonly {
    readonly commands: readonly CommandName[];
    readonly text: string;
    readonly example: string;
  }[];
}

const tunnels: readonly CommandName[] = kinds;
const dialling: readonly CommandName[] = [...tunnels, "connect", "proxy", "start"];
const running: readonly CommandName[] = [...dialling, "forward"];
const embedding: readonly CommandName[] = [...tunnels, "start"];

const embeddedListen = "where the relay in this process listens (default 127.0.0.1:8787 or the next free)";

/** All switches, in the groups and the order of --help. */
export const switchGroups: readonly (readonly [heading: string, switches: readonly Switch[]])[] = [
  [
    "What to expose:",
    [
      {
        name: "port",
        value: "n",
        text: "a web service on this machine; the same as `http n`",
        example: "--port 8080",
        commands: ["http"],
      },
      {
        name: "name",
        value: "name",
        text: "ask for this name; none: a random one",
        example: "--name blue",
        commands: tunnels,
      },
      {
        name: "remote-port",
        value: "n",
        text: "tcp, udp: ask for this public port; none: any that is free",
        example: "tcp 5432 --remote-port 20000",
        commands: wishKinds.remotePort,
      },
      {
        name: "proxy-protocol",
        value: "version",
        text: "tcp, tls: tell the service who called, by a PROXY header, v1 or v2",
        example: "tls 443 --proxy-protocol v2",
        commands: wishKinds.proxyProtocol,
      },
      {
        name: "host-header",
        value: "how",
        text: "http: what the service sees as Host: `visitor` (default), `origin`, or a value",
        example: "--host-header origin",
        commands: wishKinds.hostHeader,
      },
      {
        name: "origin-insecure",
        text: "http: accept any certificate of an https:// service (self-signed)",
        example: "http https://localhost:8443 --origin-insecure",
        commands: wishKinds.originInsecure,
      },
      {
        name: "origin-dial-timeout",
        value: "time",
        text: "how long the service may take to accept (default 10s)",
        example: "--origin-dial-timeout 3s",
        commands: wishKinds.originDialTimeoutMs,
      },
      {
        name: "origin-head-timeout",
        value: "time",
        text: "http: how long the service may take to begin its answer (default 60s)",
        example: "--origin-head-timeout 5m",
        commands: wishKinds.originHeadTimeoutMs,
      },
      {
        name: "join",
        text: "share the name with other agents that join",
        example: "--join",
        commands: tunnels,
      },
      {
        name: "allow-egress",
        value: "pattern",
        text: "with a tunnel: let `proxy --via` reach HOST-GLOB:PORTS or CIDR:PORTS from here; repeatable",
        example: "private 22 --name box --allow-egress '10.1.0.0/16:22,443'",
        commands: tunnels,
        list: true,
      },
      {
        name: "config",
        value: "file",
        text: "start, config check: the file with the tunnels (default underpass.yaml)",
        example: "start --config office.yaml",
        commands: ["start", "config-check"],
      },
    ],
  ],
  [
    "What to reach from here:",
    [
      {
        name: "stdio",
        text: "connect: one pipe by stdin and stdout, for ssh",
        example: "connect box --stdio",
        commands: ["connect"],
      },
      {
        name: "via",
        value: "name",
        text: "proxy: out at the agents of this tunnel; none: out at the relay",
        example: "proxy --listen 1080 --via box",
        commands: ["proxy"],
      },
      {
        name: "auth-file",
        value: "file",
        text: "proxy: who uses it must say the user:password that is in the file",
        example: "proxy --listen 0.0.0.0:1080 --auth-file proxy.txt",
        commands: ["proxy"],
      },
      {
        name: "to",
        value: "target",
        text: "forward: where to: HOST:PORT, PORT or unix:/PATH",
        example: "forward --listen 5000 --to db:5432",
        commands: ["forward"],
      },
    ],
  ],
  [
    "Where:",
    [
      {
        name: "relay",
        value: "url",
        text: "the relay to dial, or several of one cluster, the preferred first; none: one runs in this process, for this machine",
        example: "--relay https://relay.example",
        commands: dialling,
        list: true,
        variants: [
          {
            commands: ["connect", "proxy"],
            text: "the relay to dial, or several of one cluster, the preferred first; needed",
            example: "--relay https://relay.example",
          },
        ],
      },
      {
        name: "listen",
        value: "host:port",
        text: `${embeddedListen}; of connect, proxy and forward: where they listen`,
        example: "--listen 0.0.0.0:8787",
        commands: [...embedding, "connect", "proxy", "forward"],
        variants: [
          { commands: embedding, text: embeddedListen, example: "--listen 0.0.0.0:8787" },
          {
            commands: ["connect", "proxy", "forward"],
            text: "where this command listens; a port alone is one of 127.0.0.1",
            example: "--listen 127.0.0.1:2222",
          },
        ],
      },
      {
        name: "token-file",
        value: "file",
        text: "the file with the token that the relay asks for",
        example: "--token-file token.jwt",
        commands: dialling,
      },
      {
        name: "token",
        value: "jwt",
        text: "the token itself; a command line is visible to others: rather use the file",
        example: "UNDERPASS_TOKEN=eyJ... underpass --port 8080",
        commands: dialling,
      },
      {
        name: "insecure",
        text: "send the token over plain http to other machines",
        example: "--relay http://10.0.0.5:8787 --insecure",
        commands: dialling,
      },
    ],
  ],
  [
    "How it holds on:",
    [
      {
        name: "links",
        value: "n",
        text: "links to the relay, 1 to 8 (default 2)",
        example: "--links 4",
        commands: dialling,
      },
      {
        name: "transport",
        value: "how",
        text: "auto (default): a WebSocket, and without where none can be had; ws or sse: only that",
        example: "--transport sse",
        commands: dialling,
      },
      {
        name: "websocket-retry",
        value: "time",
        text: "how often a WebSocket is tried again while there is none (default 30s)",
        example: "--websocket-retry 5m",
        commands: dialling,
      },
      {
        name: "no-reconnect",
        text: "exit 5 when the link is lost",
        example: "--no-reconnect",
        commands: dialling,
      },
      {
        name: "max-reconnect-delay",
        value: "time",
        text: "the longest pause between two dials (default 30s)",
        example: "--max-reconnect-delay 5s",
        commands: dialling,
      },
    ],
  ],
  [
    "What it prints:",
    [
      {
        name: "json",
        text: "one JSON object a line on stdout",
        example: "--json",
        commands: [...running, "config-check"],
      },
      { name: "qr", text: "the URL as QR code", example: "--port 8080 --qr", commands: ["http"] },
      { name: "verbose", text: "more on stderr", example: "--verbose", commands: running },
      { name: "quiet", text: "no line for each request or stream", example: "--quiet", commands: running },
    ],
  ],
];

export const switches: readonly Switch[] = switchGroups.flatMap(([, group]) => group);

/** What the help of `command` says of a switch. */
export function switchHelp(
  { text, example, variants = [] }: Switch,
  command: CommandName,
): { readonly text: string; readonly example: string } {
  return variants.find(({ commands }) => commands.includes(command)) ?? { text, example };
}

/** The environment variable of a switch: `--name-ttl` has UNDERPASS_NAME_TTL. */
export function variableOf(name: string): string {
  return `UNDERPASS_${name.toUpperCase().replaceAll("-", "_")}`;
}
