import type { Clock } from "../../shared/clock.ts";
import { Driver } from "../../shared/driver.ts";
import { streamKinds } from "../../shared/kind.ts";
import type { Link } from "../../shared/link.ts";
import { memoryLinks } from "../../shared/links/memory.ts";
import { StreamLink } from "../../shared/links/stream.ts";
import { limits } from "../../shared/mux/limits.ts";
import { Memory } from "../../shared/mux/memory.ts";
import { Session } from "../../shared/mux/session.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import { silentHandler } from "../../shared/mux/stream-handler.ts";

/** Takes the streams of the other end. */
export type TakeStream = (stream: Stream, fields: Uint8Array) => StreamHandler;

/** Two relays' ends of a session in memory, of which `one` has dialled and opens streams, and `other` takes them. */
export function neighbours(clock: Clock, take: TakeStream): { one: Driver; other: Driver } {
  const [near, far] = memoryLinks(clock);
  const end = (side: "agent" | "relay", link: Link): Driver => {
    const memory = new Memory(2 ** 28);
    const window = limits.initialWindowBytes;
    const session = new Session(
      { side, window, peerWindow: window, streams: 16, peerStreams: 16, memory },
      clock.now(),
    );
    const handler = { opened: take, goaway() {}, linkState() {}, doubted() {}, over() {} };
    const driver = new Driver(session, clock, handler, { pingsWhenIdle: false, resumeWindowMs: 60_000 });
    driver.link(link, () => {});
    return driver;
  };
  return { one: end("agent", near), other: end("relay", far) };
}

/** Both ends of a link over one stream of a session between relays. */
export async function streamLinks(clock: Clock): Promise<{ agent: Link; relay: Link; close(): void }> {
  const { promise, resolve } = Promise.withResolvers<Link>();
  const { one, other } = neighbours(clock, (stream) => {
    const link = new StreamLink(stream, { clock });
    stream.head(new Uint8Array(0));
    resolve(link);
    return link.receiver;
  });
  const stream = one.session.open(streamKinds.tcp, new Uint8Array(0), silentHandler);
  if (stream === undefined) throw new Error("no stream");
  return {
    agent: new StreamLink(stream, { clock, opened() {} }),
    relay: await promise,
    close() {
      for (const driver of [one, other]) driver.close("goodbye");
    },
  };
}
