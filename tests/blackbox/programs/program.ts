import { within } from "./within.ts";

/** One line of `--json`. */
export interface ProgramEvent {
  readonly event: string;
  readonly [member: string]: unknown;
}

export interface ProgramOptions {
  readonly env?: Record<string, string>;
  readonly cwd?: string;
  /** What it reads by stdin; none: nothing, at its end already. */
  readonly stdin?: string;
}

/** How long a wait for an event may take; generous, because nothing is measured by it. */
const waitLimitMs = 30_000;

/** What a program has said before its end is here by then. */
const lastOutputMs = 2_000;

/** A program under test: a real process, its lines and JSON events, ended by its pid. */
export class Program {
  stdout = "";
  stderr = "";
  readonly events: ProgramEvent[] = [];
  /** The exit code, once it has exited and all its output is here; 128 + n for a signal. */
  readonly exited: Promise<number>;
  #arrival = Promise.withResolvers<void>();
  #line = "";
  readonly #process: Bun.Subprocess<"ignore" | Blob, "pipe", "pipe">;

  constructor(
    readonly command: readonly string[],
    options: ProgramOptions = {},
  ) {
    this.#process = Bun.spawn([...command], {
      stdin: options.stdin === undefined ? "ignore" : new Blob([options.stdin]),
      stdout: "pipe",
      stderr: "pipe",
      env: { ...inherited(), ...options.env },
      ...(options.cwd ? { cwd: options.cwd } : {}),
    });
    const kill = () => this.#process.kill("SIGKILL");
    process.once("exit", kill);
    const out = this.#read(this.#process.stdout, (text) => {
      this.stdout += text;
      this.#parse(text);
    });
    const err = this.#read(this.#process.stderr, (text) => {
      this.stderr += text;
    });
    this.exited = this.#process.exited.then(async (code) => {
      // A program that was spawned at the same moment may hold these pipes too (seen with Bun 1.4.5).
      const held = Promise.withResolvers<void>();
      const timer = setTimeout(held.resolve, lastOutputMs);
      await Promise.race([Promise.all([out, err]), held.promise]);
      clearTimeout(timer);
      process.off("exit", kill);
      this.#arrived();
      return code;
    });
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Where the story stands: pass it to `event` to wait for something that comes after this moment. */
  get mark(): number {
    return this.events.length;
  }

  /** The first event from `after` on that fits; fails when the program exits without it. */
  event(name: string, fits: (event: ProgramEvent) => boolean = () => true, after = 0): Promise<ProgramEvent> {
    const wait = async (): Promise<ProgramEvent> => {
      for (;;) {
        const found = this.events.slice(after).find((event) => event.event === name && fits(event));
        if (found) return found;
        await this.#somethingOrExit(`the event ${name}`);
      }
    };
    return within(wait(), waitLimitMs, () => `the event ${name} of ${this.describe()}`);
  }

  /** Resolves once `fits(stdout, stderr)`. */
  output(fits: (stdout: string, stderr: string) => boolean): Promise<void> {
    const wait = async () => {
      while (!fits(this.stdout, this.stderr)) await this.#somethingOrExit("some output");
    };
    return within(wait(), waitLimitMs, () => `some output of ${this.describe()}`);
  }

  /** The exit code, within the limit; a program that does not end by then is killed. */
  async exit(): Promise<number> {
    try {
      return await within(this.exited, waitLimitMs, () => `the end of ${this.describe()}`);
    } catch (error) {
      this.signal("SIGKILL");
      throw error;
    }
  }

  signal(name: NodeJS.Signals): void {
    this.#process.kill(name);
  }

  /** SIGTERM, and wait. */
  stop(): Promise<number> {
    this.signal("SIGTERM");
    return this.exit();
  }

  /** SIGKILL, and wait. */
  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await this.exited;
  }

  describe(): string {
    return `\`${this.command.join(" ")}\`\nstdout: ${this.stdout.slice(-2000)}\nstderr: ${this.stderr.slice(-2000)}`;
  }

  async #somethingOrExit(what: string): Promise<void> {
    const arrival = this.#arrival.promise;
    const over = this.#process.exitCode !== null || this.#process.signalCode !== null;
    if (over && (await Promise.race([this.exited.then(() => true), arrival.then(() => false)]))) {
      throw new Error(`exited before ${what}: ${this.describe()}`);
    }
    if (!over) await arrival;
  }

  #arrived(): void {
    const arrival = this.#arrival;
    this.#arrival = Promise.withResolvers();
    arrival.resolve();
  }

  async #read(stream: ReadableStream<Uint8Array>, take: (text: string) => void): Promise<void> {
    const decoder = new TextDecoder();
    for await (const bytes of stream) {
      take(decoder.decode(bytes, { stream: true }));
      this.#arrived();
    }
  }

  #parse(text: string): void {
    const lines = (this.#line + text).split("\n");
    this.#line = lines.pop() ?? "";
    for (const line of lines) {
      if (!line.startsWith("{")) continue;
      this.events.push(JSON.parse(line) as ProgramEvent);
    }
  }
}

/** The environment without the programs' own variables, which a test sets itself where it means them. */
function inherited(): Record<string, string> {
  const kept = Object.entries(process.env).filter(
    ([name]) => !name.startsWith("UNDERPASS_") && name !== "FORCE_COLOR",
  );
  return Object.fromEntries(kept.filter((entry): entry is [string, string] => entry[1] !== undefined));
}
