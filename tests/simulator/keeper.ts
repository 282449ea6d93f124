import type { Sleep, SleepingSession } from "../../relay/sleep.ts";
import type { Clock } from "../../shared/clock.ts";
import type { WireEnd } from "./wire-end.ts";

/** A process that is awake for long looks after its links so often. */
const watchMs = 5_000;

/** A platform that keeps a relay's links while its process is ended, and what is kept of its sessions. */
export class Keeper {
  /** Pings are answered without the process. */
  answersPings = false;
  /** Sessions without links. */
  readonly stored = new Map<string, SleepingSession>();
  #links = new Set<WireEnd>();

  keepLink(link: WireEnd): void {
    link.keeper = this;
    this.#links.add(link);
  }

  /** Those that are open. */
  get links(): WireEnd[] {
    for (const link of this.#links) if (link.state !== "open") this.#links.delete(link);
    return [...this.#links];
  }
}

/** When the platform may take a process for one that sleeps: as a Durable Object has it. */
export class ProcessSleep implements Sleep {
  readonly #stirring = new Set<object>();
  #cancelWatch: () => void = () => {};

  constructor(
    private readonly keeper: Keeper,
    private readonly clock: Clock,
    private readonly watch: () => void,
  ) {}

  get isResting(): boolean {
    return this.#stirring.size === 0;
  }

  begin(): void {
    if (this.isResting) this.keeper.answersPings = true;
  }

  stirs(who: object): void {
    if (this.isResting) {
      this.keeper.answersPings = false;
      this.#watchLater();
    }
    this.#stirring.add(who);
  }

  rests(who: object): void {
    if (!this.#stirring.delete(who) || !this.isResting) return;
    this.#cancelWatch();
    this.keeper.answersPings = true;
  }

  keep(session: SleepingSession): void {
    this.keeper.stored.set(session.id, structuredClone(session));
  }

  forget(id: string): void {
    this.keeper.stored.delete(id);
  }

  #watchLater(): void {
    this.#cancelWatch = this.clock.at(this.clock.now() + watchMs, () => {
      this.#watchLater();
      this.watch();
    });
  }
}
