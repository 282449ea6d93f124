import type { Admission } from "../../relay/admission.ts";
import { Tokens } from "../../relay/auth/tokens.ts";
import { Callers } from "../../relay/callers.ts";
import { Metrics } from "../../relay/metrics.ts";
import { Names } from "../../relay/names.ts";
import { Reception } from "../../relay/reception.ts";
import { Suspended } from "../../relay/suspended.ts";
import { Tunnels } from "../../relay/tunnels.ts";
import { streamKinds } from "../../shared/kind.ts";
import type { Link } from "../../shared/link.ts";
import { Memory } from "../../shared/mux/memory.ts";
import type { Exchange } from "./exchange.ts";
import type { Machine } from "./machine.ts";
import type { Party, Place } from "./party.ts";
import type { SeededRandom } from "./random.ts";

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

/** A relay process: where agents arrive, and the visitors whose exchanges it opens. */
export class RelayPlace implements Place {
  readonly side = "relay";
  readonly memory: Memory;
  readonly holders = new Set<Party>();
  readonly tunnels: Tunnels;
  readonly bornMs: number;
  readonly #reception: Reception;
  #draining = false;

  constructor(
    readonly machine: Machine,
    options: {
      readonly memoryBytes: number;
      readonly resumeWindowMs: number;
      readonly random: SeededRandom;
      /** An agent may take streams again. */
      readonly ready: () => void;
    },
  ) {
    this.bornMs = machine.world.nowMs;
    const random = (bytes: Uint8Array<ArrayBuffer>) => options.random.fill(bytes);
    this.memory = new Memory(options.memoryBytes);
    const names = new Names({ ttlMs: 86_400_000, maxNames: 10, random });
    const suspended = new Suspended(this.memory);
    this.tunnels = new Tunnels(names, {
      memory: this.memory,
      suspended,
      resumeWindowMs: options.resumeWindowMs,
    });
    this.tunnels.onReady = options.ready;
    this.#reception = new Reception({
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

  /** `session`: the one that the dial's path names. */
  receive(link: Link, session: string | undefined): void {
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
    for (const { driver } of [...this.tunnels.sessions()]) driver.goaway("drain", "going-away", graceMs);
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
