import type { Admission } from "../../relay/admission.ts";
import { Tokens } from "../../relay/auth/tokens.ts";
import { Callers } from "../../relay/callers.ts";
import { Metrics } from "../../relay/metrics.ts";
import { Names } from "../../relay/names.ts";
import { Reception } from "../../relay/reception.ts";
import { sleepers } from "../../relay/runtimes/object-sleepers.ts";
import { Suspended } from "../../relay/suspended.ts";
import { Tunnels } from "../../relay/tunnels.ts";
import { streamKinds } from "../../shared/kind.ts";
import { Memory } from "../../shared/mux/memory.ts";
import type { Exchange } from "./exchange.ts";
import { type Keeper, ProcessSleep } from "./keeper.ts";
import type { Machine } from "./machine.ts";
import type { Party, Place } from "./party.ts";
import type { SeededRandom } from "./random.ts";
import type { WireEnd } from "./wire-end.ts";

const tunnelName = "blue";
const admission: Admission = {
  name: tunnelName,
  kind: "http",
  claims: {
    issuer: "underpass",
    subject: "me",
    kinds: ["http"],
    connect: [],
    egress: [],
    issuedAtMs: 0,
    expiresAtMs: Date.UTC(2200, 0),
  },
};
const tokens = new Tokens(new Uint8Array(32));

export interface RelayPlaceOptions {
  readonly memoryBytes: number;
  readonly besideBytes: number;
  readonly resumeWindowMs: number;
  readonly random: SeededRandom;
  /** An agent may take streams again. */
  readonly ready: () => void;
  /** Of a relay that sleeps: what its platform keeps. */
  readonly keeper?: Keeper | undefined;
  /** It has taken up what an earlier process has left. */
  readonly begun?: () => void;
}

/** A relay process: where agents arrive, and the visitors whose exchanges it opens. */
export class RelayPlace implements Place {
  readonly side = "relay";
  readonly memory: Memory;
  readonly holders = new Set<Party>();
  readonly tunnels: Tunnels;
  readonly bornMs: number;
  readonly #reception: Reception;
  readonly #sleep: ProcessSleep | undefined;
  #draining = false;
  #begun = false;

  constructor(
    readonly machine: Machine,
    private readonly options: RelayPlaceOptions,
  ) {
    this.bornMs = machine.world.nowMs;
    const random = (bytes: Uint8Array<ArrayBuffer>) => options.random.fill(bytes);
    this.memory = new Memory(options.memoryBytes, { besideBytes: options.besideBytes });
    const names = new Names({ ttlMs: 86_400_000, maxNames: 10, random });
    const suspended = new Suspended(this.memory);
    this.tunnels = new Tunnels(names, {
      memory: this.memory,
      suspended,
      resumeWindowMs: options.resumeWindowMs,
    });
    this.tunnels.onReady = options.ready;
    const { keeper } = options;
    if (keeper !== undefined) {
      this.#sleep = new ProcessSleep(keeper, machine, () => this.#reception.wake());
      machine.onHear = () => this.#wake(keeper);
    }
    this.#reception = new Reception({
      ...(this.#sleep !== undefined && { sleep: this.#sleep }),
      clock: machine,
      tokens,
      names,
      tunnels: this.tunnels,
      callers: new Callers(suspended, this.memory),
      calls: (_agent, stream) => stream.handler,
      offers: () => true,
      metrics: new Metrics(),
      memory: this.memory,
      log: { write() {} },
      random,
      urlsOf: () => ["http://blue.localhost"],
      resumeWindowMs: options.resumeWindowMs,
      draining: () => this.#draining,
    });
  }

  /** Something comes: a process that has just begun takes up what was left, and links that died at rest are dropped. */
  #wake(keeper: Keeper): void {
    if (!this.#begun) {
      this.#begun = true;
      const { sleeping, gone } = sleepers(keeper.stored.values(), keeper.links);
      for (const { state, link } of sleeping) this.#reception.takeUp(state, link);
      for (const link of gone)
        if (link.isNew) link.destroy();
        else this.#reception.dismiss(link);
      this.#sleep?.begin();
      this.options.begun?.();
    }
    if (this.isResting) this.#reception.wake();
  }

  get keeper(): Keeper | undefined {
    return this.options.keeper;
  }

  /** Its platform may take it for one that sleeps. */
  get isResting(): boolean {
    return this.#sleep?.isResting === true;
  }

  /** It runs on a platform that may end it, and another goes on. */
  get mayEnd(): boolean {
    const { machine } = this;
    return this.#begun && !this.#draining && !machine.dead && !machine.isBehind;
  }

  /** The sessions of which nothing is lost when it ends now. */
  get restingSessions(): string[] {
    return [...this.tunnels.sessions()].filter(({ driver }) => driver.isResting).map(({ id }) => id);
  }

  /** `session`: the one that the dial's path names. */
  receive(link: WireEnd, session: string | undefined): void {
    this.options.keeper?.keepLink(link);
    this.#reception.receive(link, { ...admission, session });
  }

  /** false: no agent takes it now. */
  open(exchange: Exchange): boolean {
    const tunnel = this.tunnels.find(tunnelName);
    if (tunnel === undefined) return false;
    return exchange.openAt(this, (fields, party) => tunnel.open("http", streamKinds.http, fields, party));
  }

  /** Asks the agents to go elsewhere. */
  drain(graceMs: number): void {
    for (const { driver } of [...this.tunnels.sessions()]) driver.sayGoaway("drain", "going-away", graceMs);
  }

  /** Stops as a relay does that has a successor. */
  retire(graceMs: number): void {
    const { machine } = this;
    this.#draining = true;
    this.drain(graceMs);
    machine.at(machine.now() + graceMs, () => {
      for (const { driver } of [...this.tunnels.sessions()]) driver.close("going-away");
      machine.at(machine.now() + closeMs, () => machine.kill());
    });
  }
}

/** What was said leaves before the process ends. */
const closeMs = 1_000;
