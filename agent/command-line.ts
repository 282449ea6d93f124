import { Command, CommanderError, Option } from "commander";
import { UnderpassError } from "../shared/errors.ts";

/** A switch as the table below lists it. `value` absent: a yes-or-no switch. */
interface Switch {
  readonly name: string;
  readonly value?: string;
  readonly text: string;
  readonly example: string;
}

const groups: readonly (readonly [heading: string, switches: readonly Switch[]])[] = [
  [
    "What to expose:",
    [
      { name: "port", value: "n", text: "a web service on this machine", example: "--port 8080" },
      {
        name: "host-header",
        value: "how",
        text: "what the service sees as Host: `visitor` (default), `origin`, or a value",
        example: "--host-header origin",
      },
      {
        name: "origin-insecure",
        text: "accept any certificate of an https:// service (self-signed)",
        example: "http https://localhost:8443 --origin-insecure",
      },
      {
        name: "origin-dial-timeout",
        value: "time",
        text: "how long the service may take to accept (default 10s)",
        example: "--origin-dial-timeout 3s",
      },
      {
        name: "origin-head-timeout",
        value: "time",
        text: "how long the service may take to begin its answer (default 60s)",
        example: "--origin-head-timeout 5m",
      },
    ],
  ],
  [
    "Where to:",
    [
      {
        name: "relay",
        value: "url",
        text: "the relay to dial; none: one runs in this process, for this machine",
        example: "--relay https://relay.example",
      },
      {
        name: "listen",
        value: "host:port",
        text: "where the relay in this process listens (default 127.0.0.1:8787 or the next free)",
        example: "--listen 0.0.0.0:8787",
      },
      { name: "name", value: "name", text: "ask for this name; none: a random one", example: "--name blue" },
      {
        name: "token-file",
        value: "file",
        text: "the file with the token that the relay asks for",
        example: "--token-file token.jwt",
      },
      {
        name: "token",
        value: "jwt",
        text: "the token itself; a command line is visible to others: rather use the file",
        example: "UNDERPASS_TOKEN=eyJ... underpass --port 8080",
      },
      {
        name: "insecure",
        text: "send the token over plain http to other machines",
        example: "--relay http://10.0.0.5:8787 --insecure",
      },
    ],
  ],
  [
    "How it holds on:",
    [
      { name: "links", value: "n", text: "links to the relay, 1 to 8 (default 2)", example: "--links 4" },
      { name: "join", text: "share the name with other agents that join", example: "--join" },
      { name: "no-reconnect", text: "exit 5 when the link is lost", example: "--no-reconnect" },
      {
        name: "max-reconnect-delay",
        value: "time",
        text: "the longest pause between two dials (default 30s)",
        example: "--max-reconnect-delay 5s",
      },
    ],
  ],
  [
    "What it prints:",
    [
      { name: "json", text: "one JSON object a line on stdout", example: "--json" },
      { name: "qr", text: "the URL as QR code", example: "--qr" },
      { name: "verbose", text: "more on stderr", example: "--verbose" },
      { name: "quiet", text: "no line for each request", example: "--quiet" },
    ],
  ],
];

const table: readonly Switch[] = groups.flatMap(([, switches]) => switches);

/** Puts examples under the text of the switch; commander leaves indented lines as they are. */
const exampleIndent = " ".repeat(30);

/** Commands of the contract that a later version brings: they get an answer that says so. */
const later = ["tcp", "tls", "udp", "private", "connect", "proxy", "forward", "start", "config"];

const examples = `
Examples:
  underpass --port 8080                                a web service on this machine, tried out here
  underpass http unix:/run/app.sock --name blue        a unix socket, under a name of your choice
  underpass http https://localhost:8443 --origin-insecure
  underpass --port 5173 --host-header origin           a dev server that checks Host
  underpass --port 8080 --relay https://relay.example --token-file token.jwt

Exit: 0 stopped, 1 failed, 2 bad usage, 3 token refused, 4 name not granted, 5 no relay, 6 replaced by a newer agent.
`;

/** The switches as given, unchecked: what the command line says, else what the environment says. */
export class CommandLine {
  /** Where to print help or version instead of running, if that was asked for. */
  readonly print: string | undefined;
  /** TARGET of `http TARGET`. */
  readonly target: string | undefined;
  readonly #given = new Map<string, string | boolean>();
  readonly #env: Readonly<Record<string, string | undefined>>;

  /** `argv` without program names. Throws UnderpassError `usage` for what it doesn't know. */
  constructor(argv: readonly string[], env: Readonly<Record<string, string | undefined>>, version: string) {
    this.#env = env;
    let printed = "";
    let problem = "";
    const program = new Command("underpass")
      .usage("[http] [switches]")
      .description("Makes a service on this machine reachable from outside.")
      .version(version)
      .exitOverride()
      .showSuggestionAfterError(true)
      .configureHelp({ showGlobalOptions: true })
      .configureOutput({
        writeOut: (text) => void (printed += text),
        writeErr: (text) => void (problem += text),
        getOutHelpWidth: () => 110,
      })
      .addHelpText("after", examples);
    for (const [heading, switches] of groups) {
      program.optionsGroup(heading);
      for (const { name, value, text, example } of switches) {
        const flags = value === undefined ? `--${name}` : `--${name} <${value}>`;
        program.addOption(new Option(flags, `${text}\n${exampleIndent}e.g. ${example}  (${envName(name)})`));
      }
    }
    let target: string | undefined;
    program.action((_options, command: Command) => {
      const [unknown] = command.args;
      if (unknown === undefined) return;
      const hint = /^[\d:/.]+$|:\/\//.test(unknown) ? `; did you mean \`http ${unknown}\`?` : "";
      throw new UnderpassError("usage", `Unknown command ${JSON.stringify(unknown)}${hint} See --help.`);
    });
    program.allowExcessArguments();
    program
      .command("http")
      .allowExcessArguments(false)
      .argument("<target>", "PORT, http://HOST:PORT, https://HOST:PORT or unix:/PATH")
      .description("expose a web service: PORT, http://HOST:PORT, https://HOST:PORT or unix:/PATH")
      .action((given: string) => void (target = given));
    for (const name of later) {
      program
        .command(name, { hidden: true })
        .helpOption(false)
        .allowUnknownOption()
        .allowExcessArguments()
        .action(() => {
          throw new UnderpassError("usage", `\`${name}\` is not available in this version. See --help.`);
        });
    }
    program.helpCommand(false);
    try {
      program.parse(argv, { from: "user" });
    } catch (error) {
      if (!(error instanceof CommanderError)) throw error;
      if (error.exitCode !== 0) {
        const said = (problem || error.message)
          .trim()
          .replace(/^error: /, "")
          .replace(/\s+/g, " ");
        throw new UnderpassError("usage", `${said[0]?.toUpperCase() ?? ""}${said.slice(1)} (see --help)`);
      }
    }
    this.print = printed === "" ? undefined : printed;
    this.target = target;
    const values = program.opts<Record<string, string | boolean>>();
    for (const { name } of table) {
      // Commander turns `--no-x` into `x: false`; here a switch is what it is called.
      const value = name.startsWith("no-") ? values[camel(name.slice(3))] === false : values[camel(name)];
      if (value !== undefined && value !== false) this.#given.set(name, value);
    }
  }

  /** The value of `--name`: the command line's, else the environment's. */
  text(name: string): string | undefined {
    return this.argument(name) ?? this.environment(name);
  }

  /** As `text`, but only from the command line. */
  argument(name: string): string | undefined {
    const given = this.#given.get(name);
    return typeof given === "string" ? given : undefined;
  }

  /** As `text`, but only from the environment. An empty variable counts as not set. */
  environment(name: string): string | undefined {
    return this.#env[envName(name)] || undefined;
  }

  /** Whether a yes-or-no switch is on. Throws UnderpassError `usage` for a variable that is neither. */
  flag(name: string): boolean {
    if (this.#given.has(name)) return true;
    const text = this.environment(name)?.toLowerCase();
    if (text === undefined || ["0", "false", "no", "off"].includes(text)) return false;
    if (["1", "true", "yes", "on"].includes(text)) return true;
    throw new UnderpassError("usage", `${envName(name)} is ${JSON.stringify(text)}: give 1 or 0.`);
  }
}

function envName(name: string): string {
  return `UNDERPASS_${name.toUpperCase().replaceAll("-", "_")}`;
}

function camel(name: string): string {
  return name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
}
