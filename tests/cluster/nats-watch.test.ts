import { expect, test } from "bun:test";
import { headers, type Msg, type NatsConnection } from "@nats-io/nats-core";
import type { Bucket } from "../../relay/runtimes/nats-bucket.ts";
import { BucketWatch } from "../../relay/runtimes/nats-watch.ts";
import { VirtualClock } from "../agent/virtual-clock.ts";
import { turn } from "../shared/driver-bench.ts";

/** What a server says to the one consumer that there is. */
class Consumer {
  readonly published: string[] = [];
  #heard: (error: null, message: Msg) => void = () => {};

  get nats(): NatsConnection {
    return {
      subscribe: (_: string, { callback }: { callback: (error: null, message: Msg) => void }) => {
        this.#heard = callback;
        return { unsubscribe() {} };
      },
      publish: (subject: string) => void this.published.push(subject),
    } as unknown as NatsConnection;
  }

  puts(key: string, { revision, pending }: { readonly revision: number; readonly pending: number }): void {
    const reply = `$JS.ACK.KV_blue.c.1.${revision}.${revision}.0.${pending}`;
    this.#heard(null, { subject: `$KV.blue.${key}`, reply, data: new Uint8Array(0) } as Msg);
  }

  /** A sign of life. `stalled`: where it waits for an answer before it sends more. */
  beats(last: number, stalled?: string): void {
    const said = headers(100, "Idle Heartbeat");
    said.set("Nats-Last-Consumer", String(last));
    if (stalled !== undefined) said.set("Nats-Consumer-Stalled", stalled);
    this.#heard(null, { subject: "inbox", headers: said, data: new Uint8Array(0) } as Msg);
  }
}

test("a consumer that waits before it sends more has not told all", async () => {
  const [consumer, told] = [new Consumer(), [] as string[]];
  const streams = { consumers: { add: async () => ({ num_pending: 3 }) } };
  const watch = new BucketWatch(consumer.nats, { streams, stream: "KV_blue" } as unknown as Bucket, {
    clock: new VirtualClock(),
    broke: (error) => void told.push(`broke ${error}`),
    watcher: {
      begun: () => void told.push("begun"),
      put: (key) => void told.push(key),
      removed() {},
      complete: () => void told.push("complete"),
    },
  });
  await turn();
  consumer.puts("red", { revision: 1, pending: 2 });
  consumer.beats(1, "$JS.FC.1");
  expect([told, consumer.published]).toEqual([["begun", "red"], ["$JS.FC.1"]]);
  consumer.puts("green", { revision: 2, pending: 1 });
  // The last one was put anew meanwhile, and was told as something new.
  consumer.beats(2);
  expect(told.slice(2)).toEqual(["green", "complete"]);
  watch.close();
});
