import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { agentProgram } from "./agent.ts";
import type { Program, ProgramEvent } from "./program.ts";
import type { Relay, TokenOptions } from "./relay.ts";

/** Of several in one agent, the one with this key. */
export const about = (entry: string) => (event: ProgramEvent) => event["entry"] === entry;

/** A folder with files for `agent start`, a token of the relay, and the agents that run of them. */
export class ConfigFolder {
  readonly #programs: Program[] = [];

  private constructor(
    readonly path: string,
    private readonly relay: Relay,
  ) {}

  static async make(relay: Relay, token?: TokenOptions): Promise<ConfigFolder> {
    const path = await mkdtemp(join(tmpdir(), "underpass-config-"));
    await writeFile(join(path, "token.jwt"), await relay.token(token));
    return new ConfigFolder(path, relay);
  }

  file(name: string): string {
    return join(this.path, name);
  }

  /** For the relay, with these lines below. */
  text(...lines: string[]): string {
    return `relay: ${this.relay.url}\ntoken-file: ${this.file("token.jwt")}\n${lines.join("\n")}\n`;
  }

  /** The same with these lines under `tunnels:`. */
  tunnels(...lines: string[]): string {
    return this.text("tunnels:", ...lines.map((line) => `  ${line}`));
  }

  /** Puts a file in the place of another, as editors do. */
  async put(name: string, content: string): Promise<void> {
    await writeFile(this.file(`${name}.new`), content);
    await rename(this.file(`${name}.new`), this.file(name));
  }

  async start(name: string, content: string, ...args: string[]): Promise<Program> {
    await this.put(name, content);
    return this.run("start", "--config", this.file(name), "--json", ...args);
  }

  /** Started, with all of its tunnels (name to port) ready. */
  async started(name: string, tunnels: Record<string, number>): Promise<Program> {
    const lines = Object.entries(tunnels).map(([key, port]) => `${key}: {http: ${port}}`);
    const program = await this.start(name, this.tunnels(...lines));
    await Promise.all(Object.keys(tunnels).map((key) => program.event("ready", about(key))));
    return program;
  }

  /** An agent in this folder. */
  run(...args: string[]): Program {
    const program = agentProgram(args, { cwd: this.path });
    this.#programs.push(program);
    return program;
  }

  async killAll(): Promise<void> {
    await Promise.all(this.#programs.splice(0).map((program) => program.kill()));
  }

  async close(): Promise<void> {
    await this.killAll();
    await rm(this.path, { recursive: true, force: true });
  }
}
