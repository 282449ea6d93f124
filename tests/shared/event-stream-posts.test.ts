import { expect, test } from "bun:test";
import { eventStreamLimits } from "../../shared/links/event-stream-limits.ts";
import { PostSender } from "../../shared/links/event-stream-posts.ts";
import { PartType } from "../../shared/links/parts.ts";
import type { Dial, Socket, SocketHandler } from "../../shared/socket.ts";
import { VirtualClock } from "../agent/virtual-clock.ts";
import { turn } from "./driver-bench.ts";

/** One socket for POSTs, and the number of the last that was written to it. */
class PostEar implements Socket {
  handler: SocketHandler = { data() {}, drained() {}, ended() {}, closed() {} };
  readonly queued = 0;
  readonly remote = "";
  readonly local = "";
  number = 0;

  write(bytes: Uint8Array): number {
    const text = new TextDecoder("latin1").decode(bytes);
    this.number = Number(/Underpass-Sequence: (\d+)/.exec(text)?.[1]);
    return 0;
  }
  end(): void {}
  destroy(): void {}
  pause(): void {}
  resume(): void {}

  answers(text: string): void {
    this.handler.data(new TextEncoder().encode(`HTTP/1.1 ${text}\r\n\r\n`));
  }
}

test("a POST for which no socket could be had is tried again, also while all others wait for it", async () => {
  for (const trouble of ["refused", "404"]) {
    const clock = new VirtualClock();
    const ears: PostEar[] = [];
    let refuses = false;
    const dial: Dial = (_target, _timeoutMs, handler) => {
      setImmediate(() => {
        if (refuses) {
          handler.failed("refused", "");
          return;
        }
        const ear = new PostEar();
        ears.push(ear);
        handler.opened(ear);
      });
      return () => {};
    };
    const cap = { bytes: eventStreamLimits.maxPostBytes };
    const handler = { drained() {}, failed: () => expect.unreachable() };
    const sender = new PostSender({ clock, dial, target: {}, head: "POST / HTTP/1.1\r\n", cap }, handler);
    const sendFour = async (): Promise<void> => {
      for (let i = 0; i < 4; i++) {
        sender.send({ type: PartType.binary, bytes: new Uint8Array(1) });
        await turn();
        await turn();
      }
    };
    await sendFour();
    for (const ear of ears) ear.answers("204 No Content");
    await sendFour();
    expect(ears.map(({ number }) => number).sort()).toEqual([5, 6, 7, 8]);
    refuses = trouble === "refused";
    ears.find(({ number }) => number === 5)?.handler.closed({ reset: true });
    await turn();
    await turn();
    if (!refuses) ears.at(-1)?.answers("404 Not Found\r\nContent-Length: 0");
    refuses = false;
    const dials = ears.length;
    for (let i = 0; i < 15; i++) {
      clock.advance(100);
      await turn();
      await turn();
    }
    expect(ears.slice(dials).map(({ number }) => number)).toEqual([5]);
    sender.stop();
    expect(clock.timers).toBe(0);
  }
});
