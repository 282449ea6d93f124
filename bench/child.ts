import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";

export interface ChildOptions {
  readonly command: readonly string[];
  /** Core that the program is held to, where `taskset` exists. */
  readonly core?: number | undefined;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** It logs each request: nobody should spend time on reading that. */
  readonly dropStderr?: boolean;
}

const stderrTailChars = 2_000;
const stopGraceMs = 15_000;
const readyWithinMs = 20_000;

/** One program that the bench started: its lines, its end. Only these are ever stopped, each by its own handle. */
export class Child {
  readonly pid: number;
  readonly #process: ChildProcess;
  readonly name: string;
  readonly #lines: string[] = [];
  readonly #closed: Promise<number>;
  #stderr = "";
  #wake: () => void = () => {};

  constructor(options: ChildOptions) {
    const pinned = options.core === undefined ? [] : ["taskset", "-c", String(options.core)];
    const [program = "", ...args] = [...pinned, ...options.command];
    this.name = options.command.slice(0, 2).join(" ");
    this.#process = spawn(program, args, {
      stdio: ["ignore", "pipe", options.dropStderr === true ? "ignore" : "pipe"],
      env: { ...process.env, ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    this.pid = this.#process.pid ?? 0;
    this.#process.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-stderrTailChars);
    });
    if (this.#process.stdout) {
      createInterface({ input: this.#process.stdout }).on("line", (line) => {
        this.#lines.push(line);
        this.#wake();
      });
    }
    this.#closed = new Promise((resolve) => {
      this.#process.on("error", (error) => {
        this.#stderr += String(error);
        resolve(-1);
      });
      this.#process.on("close", (code) => resolve(code ?? -1));
    });
    this.#closed.then(() => this.#wake());
  }

  /** The end of what it said on stderr. */
  get complaint(): string {
    return this.#stderr.trim();
  }

  get running(): boolean {
    return this.pid !== 0 && this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** The first line of stdout that `accept` makes something of. Rejects when the program ends or is silent before. */
  async line<T>(accept: (line: string) => T | undefined, withinMs = readyWithinMs): Promise<T> {
    const until = Date.now() + withinMs;
    for (;;) {
      for (let line = this.#lines.shift(); line !== undefined; line = this.#lines.shift()) {
        const value = accept(line);
        if (value !== undefined) return value;
      }
      const left = until - Date.now();
      if (!this.running || left <= 0) throw new Error(`${this.name} did not get ready: ${this.complaint}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** Waits for the end. `text`: stdout's lines. */
  async ended(): Promise<{ readonly code: number; readonly text: string }> {
    return { code: await this.#closed, text: this.#lines.join("\n") };
  }

  /** Waits for the end and returns stdout's lines. Rejects when the program did not exit with 0. */
  async output(): Promise<string> {
    const { code, text } = await this.ended();
    if (code !== 0) throw new Error(`${this.name} ended with ${code}: ${this.complaint}`);
    return text;
  }

  /** SIGTERM, and SIGKILL when that is not heeded. */
  async stop(): Promise<void> {
    if (!this.running) return;
    this.#process.kill("SIGTERM");
    const timer = setTimeout(() => this.#process.kill("SIGKILL"), stopGraceMs);
    await this.#closed;
    clearTimeout(timer);
  }
}
