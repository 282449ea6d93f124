import { Backoff } from "../../shared/dial/backoff.ts";
import type { OpenLink } from "../../shared/dial/greeting.ts";
import { Slot } from "../../shared/dial/slot.ts";
import type { UnderpassError } from "../../shared/errors.ts";
import { Memory } from "../../shared/mux/memory.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import { watchSleep } from "../../shared/sleep.ts";
import { type Exchange, readHead } from "./exchange.ts";
import type { Machine } from "./machine.ts";
import type { Party, Place } from "./party.ts";
import type { SeededRandom } from "./random.ts";

const agentLimits = {
  /** Short, so that a life is not spent waiting. */
  maxReconnectDelayMs: 2_000,
  /** What open streams get when the agent is refused for good: as `Agent` does it. */
  fatalGraceMs: 30_000,
} as const;

export interface AgentPlaceOptions {
  readonly instance: string;
  /** Shares the name with those that are here. */
  readonly joins: boolean;
  readonly slots: number;
  readonly memoryBytes: number;
  readonly random: SeededRandom;
  readonly exchange: (id: number) => Exchange | undefined;
  readonly openLink: OpenLink;
}

/** An agent process: its pool of slots, and the origin that its streams end at. */
export class AgentPlace implements Place {
  readonly side = "agent";
  readonly memory: Memory;
  readonly holders = new Set<Party>();
  readonly slots: readonly Slot[];
  /** What ended it, if it was refused for good. */
  ended: UnderpassError | undefined;
  /** Resolved: all its slots have said goodbye. */
  stopped = false;
  #stopping = false;
  #cancelSleep: () => void = () => {};

  constructor(
    readonly machine: Machine,
    private readonly options: AgentPlaceOptions,
  ) {
    const { instance, memoryBytes, random } = options;
    this.memory = new Memory(memoryBytes);
    this.slots = Array.from({ length: options.slots }, (_, index) => {
      const backoff = new Backoff({
        maxDelayMs: agentLimits.maxReconnectDelayMs,
        random: () => random.next(),
      });
      return new Slot(
        {
          index,
          kind: "http",
          features: [],
          instance,
          join: options.joins,
          version: "0",
          clock: machine,
          memory: this.memory,
          backoff,
          openLink: options.openLink,
          isFinal: (error) => error.fatal,
          doubted: (slot) => this.slots[slot]?.session?.driver.doubt(),
        },
        {
          opened: (stream, fields) => this.#opened(stream, fields),
          up: () => {},
          suspect: () => {},
          down: (_slot, error, _attempt, delayMs) => {
            if (delayMs === undefined) this.#end(error);
          },
        },
      );
    });
  }

  start(): void {
    for (const slot of this.slots) slot.start();
    this.#cancelSleep = watchSleep(this.machine, () => {
      for (const slot of this.slots) slot.session?.driver.slept();
    });
  }

  /** Make-before-break, as a pool does it with its worst link. */
  renew(): void {
    for (const slot of this.slots) slot.session?.renew();
  }

  get openStreams(): number {
    return this.slots.reduce((sum, slot) => sum + slot.openStreams, 0);
  }

  stop(graceMs: number): void {
    if (this.#stopping || this.machine.dead) return;
    this.#stopping = true;
    this.#cancelSleep();
    void Promise.all(this.slots.map((slot) => slot.stop(graceMs))).then(() => {
      this.stopped = true;
    });
  }

  #opened(stream: Stream, fields: Uint8Array): StreamHandler {
    const exchange = this.options.exchange(readHead(fields));
    if (exchange === undefined) return this.machine.world.fail("an OPEN that nobody sent");
    return exchange.arriveAt(this, stream);
  }

  #end(error: UnderpassError): void {
    this.ended ??= error;
    this.stop(agentLimits.fatalGraceMs);
  }
}
