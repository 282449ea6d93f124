import type { CommandName } from "./switches.ts";

/** What a command takes besides switches, and what its help says. */
export interface CommandHelp {
  readonly name: CommandName;
  /** As commander writes it: `<x>` is needed, `[x]` is not, `...` repeats. */
  readonly operand?: readonly [form: string, text: string];
  readonly text: string;
  readonly examples: readonly (readonly [command: string, meaning: string])[];
}

const tcpTarget = "PORT, HOST:PORT or unix:/PATH";

export const commandHelps: readonly CommandHelp[] = [
  {
    name: "http",
    operand: ["<target>", "PORT, http://HOST:PORT, https://HOST:PORT or unix:/PATH"],
    text: "expose a web service",
    examples: [
      ["underpass --port 8080", "a web service on this machine, tried out here"],
      ["underpass http unix:/run/app.sock --name blue", "a unix socket, under a name of your choice"],
      ["underpass http https://localhost:8443 --origin-insecure", "a self-signed one"],
      ["underpass --port 5173 --host-header origin", "a dev server that checks Host"],
      ["underpass --port 8080 --relay https://relay.example --token-file token.jwt", ""],
    ],
  },
  {
    name: "tcp",
    operand: ["<target>", tcpTarget],
    text: "expose anything that speaks TCP, at a public port of the relay",
    examples: [
      ["underpass tcp 5432 --relay https://relay.example", "any port"],
      ["underpass tcp db:5432 --name db --remote-port 20000", "this port"],
    ],
  },
  {
    name: "tls",
    operand: ["<target>", tcpTarget],
    text: "expose a service that speaks TLS itself, found by its name (SNI)",
    examples: [
      ["underpass tls 443 --name blue --relay https://relay.example", "gRPC, HTTP/2, client certificates"],
    ],
  },
  {
    name: "udp",
    operand: ["<target>", "PORT or HOST:PORT"],
    text: "expose a service that speaks UDP, at a public port of the relay",
    examples: [["underpass udp 53 --relay https://relay.example", "any port"]],
  },
  {
    name: "private",
    operand: ["<target>", tcpTarget],
    text: "expose a TCP service without a public address: only `connect` reaches it",
    examples: [["underpass private 22 --name box --relay https://relay.example", ""]],
  },
  {
    name: "connect",
    operand: ["<name>", "the private tunnel"],
    text: "reach a private tunnel from here",
    examples: [
      ["underpass connect box --listen 127.0.0.1:2222 --relay https://relay.example", ""],
      ["ssh -o ProxyCommand='underpass connect box --stdio --relay https://relay.example' user@box", ""],
    ],
  },
  {
    name: "proxy",
    text: "a SOCKS5 and HTTP proxy here, out at the relay or at another agent",
    examples: [
      ["underpass proxy --listen 127.0.0.1:1080 --relay https://relay.example", ""],
      ["underpass proxy --listen 1080 --via box --relay https://relay.example", "out at box's agent"],
    ],
  },
  {
    name: "forward",
    text: "a plain TCP proxy, without a relay",
    examples: [["underpass forward --listen 127.0.0.1:5000 --to host:80", ""]],
  },
  {
    name: "start",
    operand: ["[name...]", "tunnels of the file; none: all of them"],
    text: "the tunnels of underpass.yaml, in one agent",
    examples: [
      ["underpass start", "all of them"],
      ["underpass start --config office.yaml web db", "these two"],
    ],
  },
  {
    name: "config-check",
    text: "look whether underpass.yaml is right",
    examples: [["underpass config check --config office.yaml", ""]],
  },
];

export const exitCodes =
  "Exit: 0 stopped, 1 failed, 2 bad usage, 3 token refused, 4 name or right not granted, 5 no relay, 6 replaced by a newer agent.";
