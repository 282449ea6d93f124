import {
  type ConnectionOptions,
  credsAuthenticator,
  errors,
  type NatsConnection,
  wsconnect,
} from "@nats-io/nats-core";
import type { Clock } from "../../shared/clock.ts";
import { Backoff } from "../../shared/dial/backoff.ts";
import { UnderpassError } from "../../shared/errors.ts";
import type { NatsPlace } from "./nats-place.ts";
import { connectBySocket } from "./nats-transport.ts";

export const natsLimits = {
  /** For a dial, up to the server's first word. */
  dialMs: 2_000,
  /** What is asked of the server is given up then. */
  askMs: 4_500,
  /** So often the server is asked for a sign of life. */
  beatMs: 300,
  /**
   * Lost after so long without one, and a beat: before other relays, of whom nothing is heard either, count as dead
   * (after 3.5 s, of which they may have been silent for 1 s already).
   */
  silenceMs: 1_500,
  /** A timer that is late by more: this process did not run, which is no silence of the server. */
  lateMs: 1_000,
  maxRedialMs: 2_000,
  /** A message of a link and what stands before it. */
  minPayloadBytes: 70_000,
} as const;

export interface NatsWayOptions {
  readonly places: readonly NatsPlace[];
  /** The text of a `.creds` file. */
  readonly credentials?: string | undefined;
  /** What the server's monitoring shows. */
  readonly name: string;
  readonly clock: Clock;
  /**
   * It is there: what has to be set up, before anything is asked. What this resolves with is called once the way takes
   * what is asked: only then may anybody be told. Where it rejects, the way is given up and dialled again.
   */
  opened(nats: NatsConnection): Promise<() => void>;
  /** It broke, after `opened` was called. */
  lost(): void;
  /** The state of it changed; undefined: it works. Told once for each change. */
  fault(error: UnderpassError | undefined): void;
}

/**
 * The way to NATS: dialled again for ever, to one place after the other. The library's own redialling is not used: it
 * keeps what was published meanwhile, and a claim that was given up must not be written minutes later.
 */
export class NatsWay {
  /** Told when it works the first time; undefined: it was closed before. */
  readonly first: Promise<void>;
  readonly #options: NatsWayOptions;
  readonly #backoff = new Backoff({ maxDelayMs: natsLimits.maxRedialMs, random: Math.random });
  #resolveFirst: () => void = () => {};
  #turn = 0;
  #nats: NatsConnection | undefined;
  /** While it is up, and set up. */
  #isUp = false;
  #isOver = false;
  /** Why it was dropped by this side. */
  #reason: unknown;
  #lastFault: UnderpassError | undefined;
  /** What waits for an answer, to be told when the way breaks. */
  readonly #asked = new Set<(error: UnderpassError) => void>();
  #cancelTimer: () => void = () => {};

  constructor(options: NatsWayOptions) {
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.first = promise;
    this.#resolveFirst = resolve;
    this.#turn = Math.floor(Math.random() * options.places.length);
    void this.#dial();
  }

  /** What it can be used with; undefined while it is out of reach. */
  get nats(): NatsConnection | undefined {
    return this.#isUp ? this.#nats : undefined;
  }

  /** Why it is out of reach. */
  get lastFault(): UnderpassError | undefined {
    return this.#lastFault;
  }

  /** Rejects where the way is not there, breaks, or there is no answer in time. */
  ask<T>(run: (nats: NatsConnection) => Promise<T>): Promise<T> {
    const { nats } = this;
    if (nats === undefined) return Promise.reject(this.#lastFault ?? this.#unreachable("not reached yet"));
    return new Promise<T>((resolve, reject) => {
      const { clock } = this.#options;
      const cancel = clock.at(clock.now() + natsLimits.askMs, () => end(this.#unreachable("no answer")));
      const end = (error: unknown): void => {
        cancel();
        this.#asked.delete(end);
        reject(error);
      };
      this.#asked.add(end);
      run(nats).then((value) => {
        cancel();
        this.#asked.delete(end);
        resolve(value);
      }, end);
    });
  }

  /** Drops it and dials again: what was set up is not what it was. */
  again(reason: unknown): void {
    this.#reason = reason;
    void this.#nats?.close();
  }

  close(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#cancelTimer();
    void this.#nats?.close();
    this.#end(this.#unreachable("closed"));
    this.#resolveFirst();
  }

  async #dial(): Promise<void> {
    const { places, opened } = this.#options;
    const place = places[this.#turn++ % places.length];
    if (place === undefined) throw new Error("No place to dial.");
    let nats: NatsConnection | undefined;
    try {
      nats = await this.#connect(place);
      this.#nats = nats;
      this.#reason = undefined;
      if (this.#isOver) {
        await nats.close();
        return;
      }
      const over = nats.closed();
      this.#beat(nats);
      const lost = over.then((error) => {
        throw this.#reason ?? error ?? new Error("the way broke");
      });
      const begin = await Promise.race([opened(nats), lost]);
      if (nats.isClosed()) await lost;
      if (this.#isOver) return;
      this.#isUp = true;
      this.#lastFault = undefined;
      this.#backoff.succeeded();
      this.#options.fault(undefined);
      begin();
      this.#resolveFirst();
      lost.catch((error) => this.#broke(error));
    } catch (error) {
      if (nats !== undefined) void nats.close();
      this.#broke(error);
    }
  }

  #connect({ url, transport, isSecure, user }: NatsPlace): Promise<NatsConnection> {
    const { name, credentials } = this.#options;
    const options: ConnectionOptions = {
      ...{ servers: url, name, reconnect: false, timeout: natsLimits.dialMs, noAsyncTraces: true },
      ...(isSecure && transport === "tcp" && { tls: {} }),
      ...(user !== undefined &&
        ("token" in user ? { token: user.token } : { user: user.name, pass: user.password })),
      ...(credentials !== undefined && {
        authenticator: credsAuthenticator(new TextEncoder().encode(credentials)),
      }),
    };
    return transport === "ws" ? wsconnect(options) : connectBySocket(options);
  }

  /** Sees to it that a server that says nothing any more is noticed soon. */
  #beat(nats: NatsConnection): void {
    const { clock } = this.#options;
    let heardMs = clock.now();
    let bytes = 0;
    const beat = (dueMs: number): void => {
      if (nats.isClosed()) return;
      const nowMs = clock.now();
      const { inBytes } = nats.stats();
      if (inBytes !== bytes || nowMs - dueMs > natsLimits.lateMs) heardMs = nowMs;
      bytes = inBytes;
      if (nowMs - heardMs > natsLimits.silenceMs) {
        this.again(new Error("it says nothing any more"));
        return;
      }
      nats.flush().then(
        () => {
          heardMs = clock.now();
        },
        // It breaks: `closed` tells.
        () => {},
      );
      const nextMs = nowMs + natsLimits.beatMs;
      this.#cancelTimer = clock.at(nextMs, () => beat(nextMs));
    };
    beat(heardMs);
  }

  #broke(error: unknown): void {
    this.#cancelTimer();
    const hadOpened = this.#nats !== undefined;
    this.#nats = undefined;
    this.#isUp = false;
    if (this.#isOver) return;
    const fault = this.#unreachable(reasonOf(error), error);
    this.#end(fault);
    if (hadOpened) this.#options.lost();
    if (this.#lastFault === undefined) this.#options.fault(fault);
    this.#lastFault = fault;
    const { clock } = this.#options;
    this.#cancelTimer = clock.at(clock.now() + this.#backoff.next(), () => void this.#dial());
  }

  #end(error: UnderpassError): void {
    for (const end of [...this.#asked]) end(error);
  }

  #unreachable(reason: string, cause?: unknown): UnderpassError {
    const hosts = this.#options.places.map(({ host }) => host).join(", ");
    return new UnderpassError("registry-unreachable", `NATS at ${hosts} can't be reached: ${reason}.`, {
      cause,
    });
  }
}

/** For a person. Nothing that was given as user, password or credentials is in the library's own words. */
function reasonOf(error: unknown): string {
  if (error instanceof errors.AuthorizationError) return "it does not accept the user or the credentials";
  if (error instanceof errors.TimeoutError) return "no answer";
  return error instanceof Error ? error.message.replace(/\.$/, "") : "the way broke";
}
