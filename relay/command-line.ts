import { Command, CommanderError } from "commander";
import { parsePattern } from "../shared/egress/pattern.ts";
import { UnderpassError } from "../shared/errors.ts";
import { kinds } from "../shared/kind.ts";
import { parseListenAddress } from "../shared/listen-address.ts";
import { isName } from "../shared/name.ts";
import { parseDuration, parseSize } from "../shared/units.ts";
import {
  checkedAdvertise,
  checkedBusUrl,
  checkedClusterName,
  defaultClusterName,
} from "./cluster/cluster-options.ts";
import type { PortRange } from "./endpoints.ts";
import type { HealthOptions, RelayCommand, RelayOptions, SecretSource, TokenOptions } from "./options.ts";
import { checkedDomain, checkedPublicUrl, checkedRouting, defaultDomain } from "./public-address.ts";
import {
  healthExamples,
  healthSwitches,
  serveExamples,
  serveSwitches,
  tokenExamples,
  tokenSwitches,
  variableOf,
} from "./switches.ts";
import { parseProxy } from "./trusted-proxies.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** Of the contract, but of a later version. Silence would be worse: someone relies on them. */
const laterSwitches = ["--jwks", "--issuer", "--audience"];
/** Below this the relay can't carry one stream each way at full credit for a handful of visitors. */
const minMemoryBytes = 16 * 2 ** 20;

/**
 * The relay's switches (`argv` without program and script) and their environment variables, as one checked shape. A
 * switch beats its variable; an empty variable is none. Throws `usage`, with what is wrong in its message.
 */
export function parseRelayCommand(argv: readonly string[], env: Environment, version: string): RelayCommand {
  for (const later of laterSwitches) {
    const given = argv.some((arg) => arg === later || arg.startsWith(`${later}=`));
    if (given || env[variableOf(later)]) {
      const name = given ? later : variableOf(later);
      throw new UnderpassError("usage", `${name} is not in this version (${version}) yet.`);
    }
  }
  let result: RelayCommand | undefined;
  let text = "";
  const settle = (command: Command) => {
    command
      .exitOverride()
      .showHelpAfterError(false)
      .configureOutput({ writeOut: (out) => (text += out), writeErr: () => {} });
    return command;
  };
  const program = settle(new Command("relay"))
    .description("The public side of Underpass: takes visitors, and the agents that serve them.")
    .version(version, "-V, --version", "print the version")
    .helpCommand("help [command]", "show the help of a command");
  const serve = settle(program.command("serve", { isDefault: true }))
    .description("Run the relay (the default command).")
    .allowExcessArguments(false);
  for (const option of serveSwitches()) serve.addOption(option);
  serve.addHelpText("after", serveExamples);
  serve.action(() => {
    result = { command: "serve", options: serveShape(valuesOf(serve, env)) };
  });
  const token = settle(program.command("token"))
    .description("Print a token for an agent: one JWT on stdout and nothing else.")
    .allowExcessArguments(false);
  for (const option of tokenSwitches()) token.addOption(option);
  token.addHelpText("after", tokenExamples);
  token.action(() => {
    result = { command: "token", options: tokenShape(valuesOf(token, env)) };
  });
  const health = settle(program.command("health"))
    .description("Ask the relay on this machine whether it is well: exit 0, or 1 and why.")
    .allowExcessArguments(false);
  for (const option of healthSwitches()) health.addOption(option);
  health.addHelpText("after", healthExamples);
  health.action(() => {
    result = { command: "health", options: healthShape(valuesOf(health, env)) };
  });
  // `relay --help` shows what runs by default, so that no switch is hidden behind `serve --help`.
  program.addHelpText("after", () => `\n${serve.helpInformation()}${serveExamples}`);
  try {
    program.parse([...argv], { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0 || error.code === "commander.help") return { command: "text", text };
    throw new UnderpassError("usage", error.message.replace(/^error: /, ""));
  }
  return result ?? { command: "text", text };
}

interface Values {
  /** UNDERPASS_SECRET: the one variable without a switch. */
  readonly secretText: string | undefined;
  text(name: string): string | undefined;
  /** `divider`: what stands between two of them in the variable. */
  list(name: string, divider?: RegExp): string[] | undefined;
  flag(name: string): boolean;
  /** It stands on the command line, which others can read. */
  inArgv(name: string): boolean;
}

/** What each switch of `command` was set to, by the switch or else by its variable. Lists in variables have commas. */
function valuesOf(command: Command, env: Environment): Values {
  const givenTo = (name: string): unknown => {
    const option = command.options.find((known) => known.long === name);
    return option && command.getOptionValue(option.attributeName());
  };
  const find = (name: string): unknown => {
    const given = givenTo(name);
    // `--data "$UNSET"` is a slip, and would mean something else than what was wanted.
    if (given === "" || (Array.isArray(given) && given.includes(""))) {
      throw new UnderpassError("usage", `${name}: the value is empty.`);
    }
    return given ?? (env[variableOf(name)] || undefined);
  };
  const text = (name: string) => {
    const value = find(name);
    return typeof value === "string" ? value : undefined;
  };
  const list = (name: string, divider = /,/) => {
    const value = find(name);
    return Array.isArray(value)
      ? value.map(String)
      : text(name)
          ?.split(divider)
          .map((part) => part.trim());
  };
  const flag = (name: string) => {
    const value = find(name);
    if (value === undefined || value === "0" || value === "false") return false;
    if (value === true || value === "1" || value === "true") return true;
    throw new UnderpassError("usage", `${variableOf(name)} is 1 or 0, not '${value}'.`);
  };
  const inArgv = (name: string) => givenTo(name) !== undefined;
  return { secretText: env["UNDERPASS_SECRET"] || undefined, text, list, flag, inArgv };
}

function secretShape(values: Values): SecretSource {
  const secretFile = values.text("--secret-file");
  const { secretText } = values;
  if (secretFile !== undefined && secretText !== undefined) {
    throw new UnderpassError("usage", "Give --secret-file or UNDERPASS_SECRET, not both.");
  }
  return {
    ...(secretFile !== undefined && { secretFile }),
    ...(secretText !== undefined && { secretText }),
    data: values.text("--data") ?? ".underpass",
  };
}

function serveShape(values: Values): RelayOptions {
  const publicUrl = values.text("--public-url");
  const memoryBytes = within("--memory", () => parseSize(values.text("--memory") ?? "512MiB"));
  if (memoryBytes < minMemoryBytes) throw new UnderpassError("usage", "--memory: the least is 16MiB.");
  return {
    ...secretShape(values),
    listen: listenAddress(values),
    reusePort: values.flag("--reuse-port"),
    domains: [...new Set((values.list("--domain") ?? [defaultDomain(publicUrl)]).map(checkedDomain))],
    ...(publicUrl !== undefined && { publicUrl: checkedPublicUrl(publicUrl) }),
    ...proxiesShape(values),
    ...tlsShape(values),
    ...portsShape(values),
    ...clusterShape(values),
    routing: checkedRouting(values.text("--routing") ?? "both"),
    dataAsked: values.text("--data") !== undefined,
    nameTtlMs: within("--name-ttl", () => parseDuration(values.text("--name-ttl") ?? "24h")),
    memoryBytes,
    resumeWindowMs: within("--resume-window", () => parseDuration(values.text("--resume-window") ?? "60s")),
    graceMs: within("--grace", () => parseDuration(values.text("--grace") ?? "30s")),
    quiet: values.flag("--quiet"),
    json: values.flag("--json"),
  };
}

function proxiesShape(values: Values): Pick<RelayOptions, "trustedProxies"> {
  const proxies = values.list("--trust-proxy");
  return proxies === undefined
    ? {}
    : { trustedProxies: proxies.map((text) => within("--trust-proxy", () => parseProxy(text))) };
}

function tlsShape(values: Values): Pick<RelayOptions, "tls"> {
  const cert = values.text("--tls-cert");
  const key = values.text("--tls-key");
  if ((cert === undefined) !== (key === undefined))
    throw new UnderpassError("usage", "--tls-cert and --tls-key go together.");
  return cert === undefined || key === undefined ? {} : { tls: { cert, key } };
}

function clusterShape(values: Values): Pick<RelayOptions, "cluster"> {
  const urls = values.list("--cluster")?.flatMap((text) => text.split(","));
  const [credentialsFile, name, advertise] = ["--cluster-credentials", "--cluster-name", "--advertise"].map(
    (part) => {
      const text = values.text(part);
      if (text !== undefined && urls === undefined)
        throw new UnderpassError("usage", `${part} is of a relay with --cluster.`);
      return text;
    },
  );
  if (urls === undefined) return {};
  const { secretFile, secretText } = secretShape(values);
  if (secretFile === undefined && secretText === undefined)
    throw new UnderpassError(
      "usage",
      "--cluster: all its relays have the same key. Give each the same --secret-file or UNDERPASS_SECRET (`openssl rand -base64 32` makes one).",
    );
  const inArgv = values.inArgv("--cluster");
  const checked = urls.map((text) => checkedBusUrl(text.trim(), { inArgv }));
  if (credentialsFile !== undefined && checked.some((text) => text.includes("@")))
    throw new UnderpassError("usage", "Give --cluster-credentials or a user in UNDERPASS_CLUSTER, not both.");
  return {
    cluster: {
      urls: checked,
      name: checkedClusterName(name ?? defaultClusterName),
      ...(credentialsFile !== undefined && { credentialsFile }),
      ...(advertise !== undefined && { advertise: checkedAdvertise(advertise) }),
    },
  };
}

/** Of the variable's commas, those between two ports do not divide: `*.example:80,443,10.0.0.0/8:22` is two. */
function patterns(values: Values): string[] | undefined {
  const found = values.list("--egress", /,(?=[^,]*:)/);
  for (const text of found ?? []) within("--egress", () => parsePattern(text));
  return found;
}

function portsShape(values: Values): Pick<RelayOptions, "tcpPorts" | "udpPorts" | "tlsListen"> {
  const [tcp, udp, tls] = ["--tcp-ports", "--udp-ports", "--tls-listen"].map((name) => values.text(name));
  return {
    ...(tcp !== undefined && { tcpPorts: portRange("--tcp-ports", tcp) }),
    ...(udp !== undefined && { udpPorts: portRange("--udp-ports", udp) }),
    ...(tls !== undefined && { tlsListen: within("--tls-listen", () => parseListenAddress(tls)) }),
  };
}

/** `[HOST:]LOW-HIGH`. */
function portRange(name: string, text: string): PortRange {
  const [, host, from = "", to = from] =
    /^(?:([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):)?(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? [];
  const [low, high] = [Number(from), Number(to)];
  if (from === "" || low < 1 || high > 65_535 || low > high) {
    throw new UnderpassError("usage", `${name}: '${text}' is not LOW-HIGH. Write it like 20000-20999.`);
  }
  return { low, high, ...(host !== undefined && { host: host.replace(/^\[|\]$/g, "") }) };
}

function tokenShape(values: Values): TokenOptions {
  const subject = values.text("--sub");
  if (subject === undefined) throw new UnderpassError("usage", "--sub is needed: who is the token for?");
  const ttlMs = within("--ttl", () => parseDuration(values.text("--ttl") ?? "30d"));
  if (ttlMs < 1000) throw new UnderpassError("usage", "--ttl: the least is 1s.");
  const [names, connect, egress] = [values.list("--name"), values.list("--connect"), patterns(values)];
  const misnamed = connect?.find((text) => !isName(text));
  if (misnamed !== undefined)
    throw new UnderpassError("usage", `--connect: '${misnamed}' is not the name of one tunnel.`);
  const asked = values.list("--kind")?.map((text) => {
    const kind = kinds.find((known) => known === text);
    if (kind === undefined)
      throw new UnderpassError("usage", `--kind: '${text}' is none of ${kinds.join(", ")}.`);
    return kind;
  });
  return {
    ...secretShape(values),
    subject,
    ...(names && { names }),
    ...(asked && { kinds: asked }),
    ...(connect && { connect }),
    ...(egress && { egress }),
    ...(values.flag("--admin") && { admin: true }),
    ttlMs,
  };
}

function healthShape(values: Values): HealthOptions {
  const { host, port } = listenAddress(values);
  if (port === 0) throw new UnderpassError("usage", "--listen: nobody knows which port 0 became.");
  const scheme = values.text("--tls-cert") === undefined ? "http" : "https";
  // Where all addresses are listened on, loopback is one of them.
  return { host: host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host, port, scheme };
}

function listenAddress(values: Values): RelayOptions["listen"] {
  return within("--listen", () => parseListenAddress(values.text("--listen") ?? "127.0.0.1:8787"));
}

/** Puts the switch's name before what its parser says. */
function within<T>(name: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof UnderpassError)) throw error;
    throw new UnderpassError("usage", `${name}: ${error.message}`, { cause: error });
  }
}
