import type { Msg, NatsConnection, Subscription } from "@nats-io/nats-core";
import type { Bus, BusMessage } from "../../shared/bus.ts";
import { UnderpassError } from "../../shared/errors.ts";
import type { NatsWay } from "./nats-way.ts";

/** One that is subscribed: on the way of the moment, and again on each that follows. */
interface Ear {
  readonly subject: string;
  readonly heard: (message: BusMessage) => void;
  subscription: Subscription | undefined;
}

/** A bus over NATS, without JetStream. */
export class NatsBus implements Bus {
  readonly #way: () => NatsWay;
  readonly #ears = new Set<Ear>();
  readonly #watchers = new Set<(is: boolean) => void>();
  #nats: NatsConnection | undefined;

  constructor({ way }: { way(): NatsWay }) {
    this.#way = way;
  }

  // The way's events.

  async opened(nats: NatsConnection): Promise<() => void> {
    for (const ear of this.#ears) this.#listen(nats, ear);
    // Whoever is told that it works may be asked something at once.
    await nats.flush();
    return () => {
      this.#nats = nats;
      // Those that came meanwhile.
      for (const ear of this.#ears) if (ear.subscription === undefined) this.#listen(nats, ear);
      for (const reachable of this.#watchers) reachable(true);
    };
  }

  lost(): void {
    for (const ear of this.#ears) ear.subscription = undefined;
    if (this.#nats === undefined) return;
    this.#nats = undefined;
    for (const reachable of this.#watchers) reachable(false);
  }

  publish(subject: string, message: Uint8Array): void {
    // A copy: the library keeps it until the end of the turn.
    this.#nats?.publish(subject, message.slice());
  }

  subscribe(subject: string, heard: (message: BusMessage) => void): () => void {
    const ear: Ear = { subject, heard, subscription: undefined };
    this.#ears.add(ear);
    if (this.#nats !== undefined) this.#listen(this.#nats, ear);
    return () => {
      if (this.#ears.delete(ear)) ear.subscription?.unsubscribe();
    };
  }

  async request(subject: string, message: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    const bytes = message.slice();
    const answer = await this.#way().ask((nats) => nats.request(subject, bytes, { timeout: timeoutMs }));
    return new HeardMessage(answer).bytes;
  }

  flushed(): Promise<void> {
    return this.#way().ask((nats) => nats.flush());
  }

  watch(reachable: (is: boolean) => void): () => void {
    this.#watchers.add(reachable);
    return () => void this.#watchers.delete(reachable);
  }

  #listen(nats: NatsConnection, ear: Ear): void {
    ear.subscription = nats.subscribe(ear.subject, {
      // An error: not permitted, which shows in that nothing is ever heard.
      callback: (error, message) => {
        if (error === null) ear.heard(new HeardMessage(message));
      },
    });
  }
}

class HeardMessage implements BusMessage {
  readonly #message: Msg;
  constructor(message: Msg) {
    this.#message = message;
  }
  get bytes(): Uint8Array {
    // Node's buffers are none of ours: their `slice` makes no copy.
    const { buffer, byteOffset, length } = this.#message.data;
    return new Uint8Array(buffer, byteOffset, length);
  }
  answer(message: Uint8Array): void {
    this.#message.respond(message.slice());
  }
}

/** For links: what the server takes must be large enough for them. */
export function checkPayload(nats: NatsConnection, minBytes: number): void {
  const most = nats.info?.max_payload ?? 0;
  if (most < minBytes) {
    throw new UnderpassError(
      "registry-unreachable",
      `it takes messages of ${most} bytes at most; ${minBytes} are needed (max_payload)`,
    );
  }
}
