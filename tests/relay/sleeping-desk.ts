import { sleepers } from "../../relay/runtimes/object-sleepers.ts";
import type { Sleep, SleepingSession } from "../../relay/sleep.ts";
import { VirtualClock } from "../agent/virtual-clock.ts";
import { decodeMessage } from "../oracle/codec.ts";
import { turn } from "../shared/driver-bench.ts";
import { FakeLink } from "../shared/fake-link.ts";
import { type Caller, Desk, type DeskOptions, type HelloFacts } from "./reception-desk.ts";

/** So long after the last thing that went on a session comes to rest. */
export const restAfterMs = 50;

/** A link that the platform keeps while the relay sleeps, and what is kept with it. */
export class KeptLink extends FakeLink {
  attached: SleepingSession | undefined;
  /** No session has come of it yet. */
  isNew = true;
  answeredMs: number | undefined;
  /** It is no link of the platform's any more. */
  gone = false;
  /** Messages with frames that left while something was kept that did not know of them. */
  unkept = 0;

  attach(value: unknown): void {
    // What is kept must be plain data.
    this.attached = structuredClone(value) as SleepingSession | undefined;
    this.isNew = false;
  }
  override send(message: Uint8Array): void {
    super.send(message);
    if (this.attached !== undefined && decodeMessage(message).counted) this.unkept++;
  }
  override close(code: number, reason: string): void {
    // A socket that is closing is still the platform's.
    this.attached = undefined;
    super.close(code, reason);
  }
  override destroy(): void {
    this.attached = undefined;
    super.destroy();
  }
  override breaks(): void {
    this.gone = true;
    super.breaks();
  }
}

/** Who stirs, and sessions without links. */
export class FakeSleep implements Sleep {
  readonly stirring = new Set<object>();

  constructor(readonly kept = new Map<string, SleepingSession>()) {}

  get isResting(): boolean {
    return this.stirring.size === 0;
  }
  stirs(who: object): void {
    this.stirring.add(who);
  }
  rests(who: object): void {
    this.stirring.delete(who);
  }
  keep(session: SleepingSession): void {
    this.kept.set(session.id, structuredClone(session));
  }
  forget(id: string): void {
    this.kept.delete(id);
  }
}

export type SleepingDeskOptions = Omit<DeskOptions, "sleep"> & {
  readonly sleep?: FakeSleep;
  readonly links?: KeptLink[];
};

/** A desk on a platform that puts it to sleep. */
export class SleepingDesk extends Desk {
  readonly sleep: FakeSleep;
  readonly links: KeptLink[];

  constructor({ sleep = new FakeSleep(), links = [], ...options }: SleepingDeskOptions = {}) {
    super({ ...options, sleep });
    this.sleep = sleep;
    this.links = links;
  }

  override newLink(): KeptLink {
    const link = new KeptLink();
    this.links.push(link);
    return link;
  }

  /** What is kept with the link of this caller. */
  keptOf(caller: Caller): SleepingSession | undefined {
    return this.linkOf(caller).attached;
  }

  linkOf(caller: Caller): KeptLink {
    const link = this.links.find((one) => one === caller.link);
    if (link === undefined) throw new Error("this caller has no link here");
    return link;
  }

  /** The process ends, and another begins `afterMs` later with what was kept, on a clock of its own. */
  beginAnew({ afterMs = 0 } = {}): SleepingDesk {
    const clock = new VirtualClock({ nowMs: 77_000_000, dateMs: this.clock.date() + afterMs });
    const links = this.links.filter(({ gone }) => !gone);
    const sleep = new FakeSleep(this.sleep.kept);
    const next = new SleepingDesk({ clock, sleep, links, drawn: this.drawn });
    const { sleeping, gone } = sleepers(sleep.kept.values(), links);
    for (const { state, link } of sleeping) next.reception.takeUp(state, link);
    for (const link of gone)
      if (link.isNew) link.destroy();
      else next.reception.dismiss(link);
    return next;
  }

  /** What is owed is acknowledged, and nothing goes on for a moment. */
  async comesToRest(): Promise<void> {
    this.clock.advance(5);
    await turn();
    this.clock.advance(restAfterMs);
  }

  /** A session that has come to rest. */
  async rested(facts: HelloFacts = {}): Promise<Caller> {
    const caller = await this.call(facts);
    this.clock.advance(restAfterMs);
    if (this.keptOf(caller) === undefined) throw new Error("the session does not rest");
    return caller;
  }
}
