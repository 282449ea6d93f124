import { CommandLine } from "../../agent/command/command-line.ts";
import {
  type AgentCommand,
  type AgentOptions,
  checkOptions,
  type ExposeCommand,
} from "../../agent/command/options.ts";
import { type Code, UnderpassError } from "../../shared/errors.ts";

/** What a command line, its words divided by spaces, means. */
export function options(words: string, env: Record<string, string> = {}): AgentOptions {
  return checkOptions(new CommandLine(words.split(" ").filter(Boolean), env, "0.0.0"));
}

/** The command that was asked for, which must be the one named. */
export function as<Name extends AgentCommand["command"]>(
  name: Name,
  words: string,
  env: Record<string, string> = {},
): Extract<AgentCommand, { command: Name }> {
  const { command } = options(words, env);
  if (!isNamed(command, name)) throw new Error(`${words}: ${command.command}`);
  return command;
}

function isNamed<Name extends AgentCommand["command"]>(
  command: AgentCommand,
  name: Name,
): command is Extract<AgentCommand, { command: Name }> {
  return command.command === name;
}

export const exposed = (words: string, env: Record<string, string> = {}): ExposeCommand =>
  as("expose", words, env);
/** What it prints instead of running. */
export const help = (words: string): string => new CommandLine(words.split(" "), {}, "0.0.0").print ?? "";

/** Why it is refused. */
export function refusal(words: string, env: Record<string, string> = {}): { code: Code; message: string } {
  try {
    options(words, env);
  } catch (error) {
    if (error instanceof UnderpassError) return error;
    throw error;
  }
  throw new Error(`accepted: ${words}`);
}
