import { AckPolicy, DeliverPolicy } from "@nats-io/jetstream";
import { createInbox, type Msg, type NatsConnection, nanos } from "@nats-io/nats-core";
import type { Clock } from "../../shared/clock.ts";
import type { Bucket } from "./nats-bucket.ts";

export interface BucketWatcher {
  begun(): void;
  put(key: string, bytes: Uint8Array, revision: number): void;
  removed(key: string, revision: number): void;
  complete(): void;
}

const heartbeatMs = 1_000;
/** Without a message and without a heartbeat. */
const silenceMs = 5_000;

/**
 * All that is in a bucket, and what changes from now on. A consumer that pushes, without acknowledgement: where one
 * message is missing, or the server forgot the consumer, all is told anew, which is what whoever watches has to cope
 * with anyway. `broke`: it can't be had on this way.
 */
export class BucketWatch {
  readonly #nats: NatsConnection;
  readonly #bucket: Bucket;
  readonly #clock: Clock;
  readonly #watcher: BucketWatcher;
  readonly #broke: (error: unknown) => void;
  /** Counts the consumers, so that what an earlier one still brings is not taken. */
  #round = 0;
  #cancelTimer: () => void = () => {};
  #unsubscribe: () => void = () => {};

  constructor(
    nats: NatsConnection,
    bucket: Bucket,
    {
      clock,
      watcher,
      broke,
    }: { readonly clock: Clock; readonly watcher: BucketWatcher; broke(error: unknown): void },
  ) {
    this.#nats = nats;
    this.#bucket = bucket;
    this.#clock = clock;
    this.#watcher = watcher;
    this.#broke = broke;
    this.#begin();
  }

  close(): void {
    this.#round++;
    this.#cancelTimer();
    this.#unsubscribe();
  }

  #begin(): void {
    this.#unsubscribe();
    const round = ++this.#round;
    const subject = createInbox();
    const watcher = this.#watcher;
    const { stream, streams } = this.#bucket;
    const keys = `$KV.${stream.slice("KV_".length)}.`;
    /** Messages of this consumer so far. */
    let count = 0;
    let isComplete = false;
    let isBegun = false;
    let heardMs = this.#clock.now();
    const complete = (): void => {
      if (isComplete) return;
      isComplete = true;
      watcher.complete();
    };
    const begun = (): void => {
      if (isBegun) return;
      isBegun = true;
      watcher.begun();
    };
    const takes = (message: Msg): void => {
      if (round !== this.#round) return;
      heardMs = this.#clock.now();
      const { headers } = message;
      if (headers?.code === 100) {
        answerControl(this.#nats, message);
        const last = headers.get("Nats-Last-Consumer");
        if (last === "" || !isBegun) return;
        if (Number(last) !== count) this.#begin();
        // One that waits for the answer to its control has more to tell.
        else if (!headers.has("Nats-Consumer-Stalled")) complete();
        return;
      }
      const at = deliveryOf(message.reply);
      if (at === undefined) return;
      if (at.count !== ++count) {
        this.#begin();
        return;
      }
      begun();
      const key = message.subject.slice(keys.length);
      if (headers?.has("KV-Operation") === true) watcher.removed(key, at.revision);
      else watcher.put(key, message.data, at.revision);
      if (at.pending === 0) complete();
    };
    const subscription = this.#nats.subscribe(subject, { callback: (_, message) => takes(message) });
    this.#unsubscribe = () => subscription.unsubscribe();
    const check = (): void => {
      this.#cancelTimer = this.#clock.at(this.#clock.now() + silenceMs / 2, () => {
        if (this.#clock.now() - heardMs > silenceMs) this.#begin();
        else check();
      });
    };
    this.#cancelTimer();
    check();
    streams.consumers
      .add(stream, {
        deliver_subject: subject,
        filter_subject: `${keys}>`,
        deliver_policy: DeliverPolicy.LastPerSubject,
        ack_policy: AckPolicy.None,
        max_deliver: 1,
        mem_storage: true,
        num_replicas: 1,
        flow_control: true,
        idle_heartbeat: nanos(heartbeatMs),
      })
      .then(
        ({ num_pending }) => {
          if (round !== this.#round) return;
          begun();
          if (num_pending === 0) complete();
        },
        (error: unknown) => {
          if (round === this.#round) this.#broke(error);
        },
      );
  }
}

/** The server asks whether what it has sent so far was taken in, and waits for the answer before it sends more. */
function answerControl(nats: NatsConnection, message: Msg): void {
  if (message.reply !== undefined && message.reply !== "") message.respond();
  const stalled = message.headers?.get("Nats-Consumer-Stalled") ?? "";
  if (stalled !== "") nats.publish(stalled);
}

/** `$JS.ACK.[DOMAIN.ACCOUNT.]STREAM.CONSUMER.TRIES.REVISION.COUNT.TIME.PENDING[.TOKEN]` (ADR-15 of NATS). */
function deliveryOf(
  reply: string | undefined,
): { readonly revision: number; readonly count: number; readonly pending: number } | undefined {
  const words = reply?.split(".") ?? [];
  if (words[0] !== "$JS" || words[1] !== "ACK") return undefined;
  const [revision, count, , pending] = words.slice(words.length >= 11 ? 7 : 5).map(Number);
  if (revision === undefined || count === undefined || pending === undefined) return undefined;
  return { revision, count, pending };
}
