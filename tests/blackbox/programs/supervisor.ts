import type { Program } from "./program.ts";

/** The exit code of an agent that a newer instance has replaced: starting it again would be a fight. */
const supersededExit = 6;

/** What systemd and the like do: starts the program again whenever it ends, unless it says that it was replaced. */
export class Supervisor {
  /** Started so far. */
  starts = 0;
  current: Program | undefined;
  /** The exit code after which it was not started again; pending as long as it runs. */
  readonly over: Promise<number>;
  #stopped = false;
  #readyTimes = 0;
  #change = Promise.withResolvers<void>();

  constructor(start: () => Program) {
    this.over = this.#run(start);
  }

  /** Once it has been ready so many times. */
  async ready(times: number): Promise<void> {
    while (this.#readyTimes < times) await this.#change.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    await this.current?.kill();
    await this.over;
  }

  async #run(start: () => Program): Promise<number> {
    for (;;) {
      const program = start();
      this.starts++;
      this.current = program;
      void this.#awaitReady(program);
      const code = await program.exited;
      if (this.#stopped || code === supersededExit) return code;
    }
  }

  async #awaitReady(program: Program): Promise<void> {
    // It may end before it is ready, which `over` and `starts` tell.
    const ready = await program.event("ready").catch(() => undefined);
    if (ready === undefined) return;
    this.#readyTimes++;
    const change = this.#change;
    this.#change = Promise.withResolvers();
    change.resolve();
  }
}
