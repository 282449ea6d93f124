import { Option } from "commander";
import { kinds } from "../shared/kind.ts";

export function serveSwitches(): Option[] {
  return [
    switchOf(
      "--listen <host:port>",
      "where visitors and agents arrive; port 0 takes a free one",
      "127.0.0.1:8787",
    ),
    switchOf(
      "--reuse-port",
      "share the address with the relay that replaces this one, for a rolling restart",
    ),
    switchOf("--domain <domain...>", "a tunnel 'blue' is at blue.<domain>; may be repeated", "localhost"),
    switchOf("--public-url <url>", "what the outside calls this relay when a proxy stands before it"),
    switchOf(
      "--trust-proxy <address...>",
      "an address or range whose X-Forwarded-For says who calls; may be repeated (none: nobody's)",
    ),
    switchOf("--routing <how>", "host (blue.<domain>), path (/~blue/), or both", "both"),
    switchOf(
      "--tcp-ports <low-high>",
      "public ports that tcp tunnels may have, HOST: before them if not that of --listen; none: no such tunnels",
    ),
    switchOf("--udp-ports <low-high>", "public ports that udp tunnels may have; none: no such tunnels"),
    switchOf(
      "--tls-listen <host:port>",
      "where visitors of tls tunnels arrive, told apart by name (SNI); none: no such tunnels",
    ),
    switchOf("--tls-cert <file>", "serve https and wss itself: the certificate chain, PEM"),
    switchOf("--tls-key <file>", "and its key, PEM"),
    ...secretSwitches(),
    switchOf(
      "--cluster <url...>",
      "nats://HOST:PORT: be one relay of several, that agree on names there; may be repeated, and needs a key that all have",
    ),
    switchOf("--cluster-credentials <file>", "a NATS .creds file, if the bus asks for one"),
    switchOf("--cluster-name <name>", "relays of one name on one bus are one cluster", "underpass"),
    switchOf(
      "--advertise <url>",
      "where the others, and agents, reach this very relay, port 0: that of --listen; none: over the bus alone",
    ),
    switchOf("--name-ttl <duration>", "how long a name stays its owner's after the last agent left", "24h"),
    switchOf("--memory <size>", "cap for buffers", "512MiB"),
    switchOf(
      "--resume-window <duration>",
      "how long open streams wait for an agent that lost its links",
      "60s",
    ),
    switchOf("--grace <duration>", "time that open streams get to finish on SIGTERM", "30s"),
    switchOf("--quiet", "no log line for each request or stream"),
    switchOf("--json", "one JSON object a line on stdout; logs to stderr"),
  ];
}

export function tokenSwitches(): Option[] {
  return [
    switchOf("--sub <subject>", "who it is for; names belong to the subject"),
    switchOf("--name <glob...>", "a name it may use, with * and ?; may be repeated (none: any name)"),
    switchOf("--kind <kind...>", `${kinds.join(", ")}; may be repeated (none: all of them)`),
    switchOf(
      "--connect <name...>",
      "a private tunnel that `connect` may reach; may be repeated (none: none)",
    ),
    switchOf(
      "--egress <pattern...>",
      "HOST-GLOB:PORTS or CIDR:PORTS that `proxy` may reach; may be repeated (none: nothing)",
    ),
    switchOf("--admin", "it may read /metrics from anywhere"),
    switchOf("--ttl <duration>", "how long it is valid", "30d"),
    ...secretSwitches(),
  ];
}

/** Those of `serve` that say where it listens; the same variables, so that none need be given twice. */
export function healthSwitches(): Option[] {
  return [
    switchOf("--listen <host:port>", "where the relay listens", "127.0.0.1:8787"),
    switchOf("--tls-cert <file>", "given where the relay serves https itself; it is not read"),
  ];
}

function secretSwitches(): Option[] {
  return [
    switchOf(
      "--secret-file <file>",
      "the key of all tokens, at least 32 bytes (or UNDERPASS_SECRET); none: one is made",
    ),
    switchOf(
      "--data <folder>",
      "what must outlive the process: the key, and whose names are whose",
      ".underpass",
    ),
  ];
}

/** The default is only shown: commander must not fill it in, because the variable stands between the two. */
function switchOf(flags: string, description: string, fallback?: string): Option {
  const name = /--[a-z-]+/.exec(flags)?.[0] ?? "";
  const shown = fallback === undefined ? "" : `default ${fallback}, `;
  const made = new Option(flags, `${description} (${shown}${variableOf(name)})`);
  // `--domain a --domain b`, but never `--domain a b`: a stray word is an error, not a second domain.
  if (flags.includes("...>")) {
    made.variadic = false;
    made.argParser((value: string, before: string[] | undefined) => [...(before ?? []), value]);
  }
  return made;
}

/** The environment variable of a switch: `--name-ttl` has UNDERPASS_NAME_TTL. */
export function variableOf(name: string): string {
  return `UNDERPASS_${name.slice(2).replaceAll("-", "_").toUpperCase()}`;
}

export const serveExamples = `
Examples:
  relay                                                  for this machine, on 127.0.0.1:8787
  relay --listen 0.0.0.0:80 --domain tunnels.example     tunnels at http://NAME.tunnels.example
  relay --public-url https://relay.example --routing path   behind a proxy that speaks TLS, without wildcard DNS
  relay --public-url https://t.example --trust-proxy 127.0.0.1 --trust-proxy 10.0.0.0/8   visitors by their own addresses
  relay --listen 0.0.0.0:443 --domain t.example --tls-cert chain.pem --tls-key key.pem
  relay --domain a.example --domain b.example            two domains
  relay --listen 0.0.0.0:80 --tcp-ports 20000-20999 --udp-ports 20000-20999   tcp and udp tunnels
  relay --listen 0.0.0.0:80 --tls-listen 0.0.0.0:443     tls tunnels at NAME.DOMAIN:443, their TLS untouched
  relay --secret-file /run/secrets/underpass             a key of your own
  relay --data /var/lib/underpass --name-ttl 7d          where things are kept, and names for longer
  relay --reuse-port                                     start the next one beside it, then stop this one
  relay --cluster nats://10.0.0.9:4222 --advertise http://10.0.0.1:8787 --secret-file key.txt   one of several
  relay --cluster tls://nats.example --cluster-credentials relay.creds --cluster-name blue --secret-file key.txt
  relay --quiet                                          busy, and logged by the proxy before it
  relay --resume-window 5m                               for agents that are often away for minutes
  relay --memory 1GiB --grace 10s --json                 for a supervisor that reads JSON lines
`;
export const tokenExamples = `
Examples:
  relay token --sub alice > token.txt                    any name, all kinds, 30 days
  relay token --sub ci --name 'pr-*' --kind http --ttl 12h
  relay token --sub bob --connect db                     to reach the private tunnel db
  relay token --sub eve --egress '*.example.com:80,443' --egress '10.0.0.0/8:22'
  relay token --sub prometheus --admin                   for /metrics
  relay token --sub alice --secret-file key.txt          with the key in a file
  relay token --sub alice --data /var/lib/underpass      with the key of the relay whose data is there
`;
export const healthExamples = `
Examples:
  relay health                                           of the relay on 127.0.0.1:8787
  relay health --listen 0.0.0.0:80                       given what \`serve\` was given
  relay health --listen 0.0.0.0:443 --tls-cert chain.pem
`;
