import { Command, CommanderError, Help, Option } from "commander";
import { UnderpassError } from "../../shared/errors.ts";
import { type CommandHelp, commandHelps, exitCodes } from "./command-helps.ts";
import { type CommandName, type Switch, switches, switchGroups, switchHelp, variableOf } from "./switches.ts";

/** Puts examples under the text of the switch; commander leaves indented lines as they are. */
const exampleIndent = " ".repeat(30);

/** Where the meaning of an example begins. */
const exampleWidth = 66;

type Values = Readonly<Record<string, string | boolean | string[] | undefined>>;

/** The switches as given, unchecked: what the command line says, else what the environment says. */
export class CommandLine {
  /** Help or version, which were asked for instead of running. */
  readonly print: string | undefined;
  /** `http` where only switches were given. */
  readonly command: CommandName = "http";
  /** What stood after the command besides switches. */
  readonly operands: readonly string[] = [];
  readonly #given = new Map<string, string | true | readonly string[]>();
  readonly #env: Readonly<Record<string, string | undefined>>;

  /** `argv` without program names. Throws UnderpassError `usage` for what it doesn't know, or is not for the command. */
  constructor(argv: readonly string[], env: Readonly<Record<string, string | undefined>>, version: string) {
    this.#env = env;
    let printed = "";
    let problem = "";
    let chosen: { command: CommandName; operands: readonly string[] } | undefined;
    const program = settle(new Command("underpass"), {
      writeOut: (text) => void (printed += text),
      writeErr: (text) => void (problem += text),
    });
    describe(program, version);
    for (const help of commandHelps) {
      addCommand(program, help, (operands) => {
        chosen = { command: help.name, operands };
      });
    }
    try {
      program.parse(argv, { from: "user" });
    } catch (error) {
      if (!(error instanceof CommanderError)) throw error;
      if (error.exitCode !== 0) refuse(problem || error.message, argv);
    }
    this.print = printed === "" ? undefined : printed;
    if (this.print !== undefined) return;
    if (chosen !== undefined) ({ command: this.command, operands: this.operands } = chosen);
    const values: Values = program.opts();
    for (const { name } of switches) {
      // Commander turns `--no-x` into `x: false`; here a switch is what it is called.
      const value = name.startsWith("no-") ? values[camel(name.slice(3))] === false : values[camel(name)];
      if (value !== undefined && value !== false) this.#given.set(name, value);
    }
    this.#checkMeant();
    if (chosen?.command === "http" && this.#given.has("port"))
      throw new UnderpassError("usage", "Give either --port or http TARGET, not both.");
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

  /** As `text`, but only from the environment. An empty variable counts as not set, as does one that is not for the command. */
  environment(name: string): string | undefined {
    const known = switches.find((each) => each.name === name);
    if (known !== undefined && !known.commands.includes(this.command)) return undefined;
    return this.#env[variableOf(name)] || undefined;
  }

  /**
   * All values of a switch that may be repeated: patterns (`HOST:PORTS`) or URLs. In its variable they have commas between
   * them; those between two ports don't divide: `*.example:80,443,10.0.0.0/8:22` is two.
   */
  list(name: string): readonly string[] | undefined {
    const given = this.#given.get(name);
    if (typeof given === "object") return given;
    return this.environment(name)
      ?.split(/,(?=[^,]*:)/)
      .map((part) => part.trim());
  }

  /** Whether the command line has it. */
  given(name: string): boolean {
    return this.#given.has(name);
  }

  /** Whether a yes-or-no switch is on; undefined: nothing was said. Throws UnderpassError `usage` for a variable that is neither. */
  flag(name: string): boolean | undefined {
    if (this.#given.has(name)) return true;
    const text = this.environment(name)?.toLowerCase();
    if (text === undefined) return undefined;
    if (["0", "false", "no", "off"].includes(text)) return false;
    if (["1", "true", "yes", "on"].includes(text)) return true;
    throw new UnderpassError("usage", `${variableOf(name)} is ${JSON.stringify(text)}: give 1 or 0.`);
  }

  /** Somebody relies on a switch that they give: one without effect is a mistake. A variable may be meant for others. */
  #checkMeant(): void {
    for (const { name, commands } of switches) {
      if (!this.#given.has(name) || commands.includes(this.command)) continue;
      const words = commands.map(wordsOf);
      throw new UnderpassError(
        "usage",
        `--${name} is for ${words.join(", ")}, not for ${wordsOf(this.command)}. See ${wordsOf(this.command)} --help.`,
      );
    }
  }
}

function settle(
  command: Command,
  write: { readonly writeOut: (text: string) => void; readonly writeErr: (text: string) => void },
): Command {
  return command
    .exitOverride()
    .showSuggestionAfterError(true)
    .configureOutput({ ...write, getOutHelpWidth: () => 110 });
}

/** The program itself: all switches, since commander takes them before and after the command. */
function describe(program: Command, version: string): void {
  program
    .usage("[command] [switches]")
    .description("Makes a service on this machine reachable from outside.")
    .version(version)
    .helpCommand("help [command]", "show the help of a command")
    .configureHelp({
      formatHelp: commandsFirst,
      subcommandTerm: termOf,
      padWidth: () => exampleIndent.length - 2,
    })
    .allowExcessArguments()
    .addHelpText(
      "after",
      `\n${examplesOf(commandHelps)}\nHelp for one command: underpass tcp --help\n${exitCodes}\n`,
    )
    .action((_options, command: Command) => {
      const [unknown] = command.args;
      if (unknown === undefined) return;
      const meant = /^[\d:/.]+$|:\/\//.test(unknown) ? `http ${unknown}` : similar(unknown);
      const hint = meant === undefined ? "." : `; did you mean \`${meant}\`?`;
      throw new UnderpassError("usage", `Unknown command ${JSON.stringify(unknown)}${hint} See --help.`);
    });
  for (const [heading, group] of switchGroups) {
    program.optionsGroup(heading);
    for (const each of group) program.addOption(optionOf(each, each));
  }
}

function addCommand(
  program: Command,
  help: CommandHelp,
  chosen: (operands: readonly string[]) => void,
): void {
  const words = help.name.split("-");
  const last = words.pop() ?? "";
  let parent = program;
  for (const word of words) {
    parent = parent.command(word).description(help.text).usage("check [switches]").helpCommand(false);
    parent.action((_options, command: Command) => {
      const [given] = command.args;
      const what = given === undefined ? "" : `, not \`${word} ${given}\``;
      throw new UnderpassError("usage", `The command is \`${wordsOf(help.name)}\`${what}. See --help.`);
    });
    parent.allowExcessArguments();
  }
  const command = parent
    .command(last)
    .allowExcessArguments(false)
    .description(help.text)
    .usage(`${help.operand?.[0] ?? ""} [switches]`.trim())
    .addHelpText("after", `\n${examplesOf([help])}`)
    .action(() => {
      chosen(command.args);
    });
  if (help.operand !== undefined) command.argument(...help.operand);
  for (const [heading, group] of switchGroups) {
    const own = group.filter(({ name, commands }) => commands.includes(help.name) && name !== "port");
    if (own.length > 0) command.optionsGroup(heading);
    for (const each of own) command.addOption(optionOf(each, switchHelp(each, help.name)));
  }
}

function optionOf(
  { name, value, list }: Switch,
  help: { readonly text: string; readonly example: string },
): Option {
  const flags = value === undefined ? `--${name}` : `--${name} <${value}>`;
  const option = new Option(
    flags,
    `${help.text}\n${exampleIndent}e.g. ${help.example}  (${variableOf(name)})`,
  );
  if (list) option.argParser((given: string, before: string[] | undefined) => [...(before ?? []), given]);
  return option;
}

function examplesOf(helps: readonly CommandHelp[]): string {
  const lines = helps.flatMap(({ examples }) =>
    examples.map(([command, meaning]) => `  ${command.padEnd(exampleWidth)} ${meaning}`.trimEnd()),
  );
  return `Examples:\n${lines.join("\n")}\n`;
}

/** What there is to do comes before how. */
function commandsFirst(command: Command, help: Help): string {
  const sections = Help.prototype.formatHelp.call(help, command, help).split("\n\n");
  const isCommands = (section: string): boolean => section.startsWith("Commands:");
  const rest = sections.filter((section) => !isCommands(section));
  return [
    ...rest.slice(0, 2),
    ...sections.filter(isCommands).map((section) => section.trimEnd()),
    ...rest.slice(2),
  ].join("\n\n");
}

function termOf(command: Command): string {
  const nested = command.commands[0];
  if (nested !== undefined) return `${command.name()} ${nested.name()}`;
  const operands = command.registeredArguments.map((each) => {
    const name = each.variadic ? `${each.name()}...` : each.name();
    return each.required ? `<${name}>` : `[${name}]`;
  });
  return [command.name(), ...operands].join(" ");
}

/** The command that was meant, where it is not far: one that begins alike, or has the same letters. */
function similar(word: string): string | undefined {
  const letters = (text: string): string => [...text].sort().join("");
  const close = commandHelps.find(
    ({ name }) => letters(name) === letters(word) || (word.length > 2 && name.startsWith(word.slice(0, 3))),
  );
  return close && wordsOf(close.name);
}

/** As one types it. */
function wordsOf(command: CommandName): string {
  return command === "config-check" ? "config check" : command;
}

/** Turns what commander says into one line, with a hint where it is known what was meant. */
function refuse(said: string, argv: readonly string[]): never {
  const line = said
    .trim()
    .replace(/^error: /, "")
    .replace(/\s+/g, " ");
  const help = commandHelps.find(({ name }) => argv.includes(name));
  const example =
    help !== undefined && /missing required argument/.test(line) ? help.examples[0]?.[0] : undefined;
  const begun = `${line[0]?.toUpperCase() ?? ""}${line.slice(1)}`;
  if (example !== undefined) throw new UnderpassError("usage", `${begun}. For example: ${example}`);
  throw new UnderpassError("usage", `${begun} (see --help)`);
}

function camel(name: string): string {
  return name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
}
