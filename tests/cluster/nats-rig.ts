import assert from "node:assert/strict";
import { type Nats, openNats } from "../../relay/runtimes/nats.ts";
import type { Clock } from "../../shared/clock.ts";
import { UnderpassError } from "../../shared/errors.ts";
import { systemClock } from "../../shared/runtimes/system-clock.ts";
import { Door } from "./door.ts";
import { BoardEar, NamesEar, Told } from "./nats-ears.ts";
import { NatsServer, type NatsServerOptions } from "./nats-server.ts";

/** What a case has: a nats-server of its own, and relays that come to it. */
export class Rig {
  readonly #ends: (() => Promise<void> | void)[] = [];

  private constructor(readonly server: NatsServer) {}

  static async run(run: (rig: Rig) => Promise<void>, options: NatsServerOptions = {}): Promise<void> {
    const rig = new Rig(await NatsServer.start(options));
    try {
      await run(rig);
    } finally {
      for (const end of rig.#ends) await end();
      await rig.server.close();
    }
  }

  async open({
    port = this.server.port,
    clock = systemClock,
    user = "",
  }: {
    port?: number;
    clock?: Clock;
    user?: string;
  } = {}): Promise<Nats & { readonly faults: Told }> {
    const faults = new Told();
    const nats = await openNats({
      ...{ urls: `nats://${user}127.0.0.1:${port}`, cluster: "blue-1", clock },
      fault: (error) => faults.say(error?.code ?? "works"),
    });
    this.#ends.push(() => nats.close());
    return { ...nats, faults };
  }

  /** A way to the server for one relay alone. */
  async door(): Promise<Door> {
    const door = await Door.open(this.server.port);
    this.#ends.push(() => door.close());
    return door;
  }
}

export function watchNames({ registry }: Nats): NamesEar {
  const ear = new NamesEar();
  registry.watch?.(ear);
  return ear;
}

export function watchBoard({ board }: Nats): BoardEar {
  const ear = new BoardEar();
  board.watch(ear);
  return ear;
}

export function watchBus({ bus }: Nats): Told {
  const told = new Told();
  bus.watch((is) => told.say(is ? "reachable" : "unreachable"));
  return told;
}

/** Rejects with `registry-unreachable`, and within 5 s. */
export async function isUnreachable(verb: Promise<unknown>): Promise<void> {
  const beganMs = performance.now();
  await assert.rejects(
    verb,
    (error) => error instanceof UnderpassError && error.code === "registry-unreachable",
  );
  assert.ok(performance.now() - beganMs < 5_000);
}

/** Only what is far away comes at once. */
export const impatientClock: Clock = {
  ...systemClock,
  at: (atMs, run) => systemClock.at(atMs - systemClock.now() > 30_000 ? 0 : atMs, run),
};
