import { Driver } from "../../shared/driver.ts";
import type { DriverOptions } from "../../shared/driver-handler.ts";
import { limits } from "../../shared/mux/limits.ts";
import { Memory } from "../../shared/mux/memory.ts";
import { Session } from "../../shared/mux/session.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import { VirtualClock } from "../agent/virtual-clock.ts";
import { decodeMessage, encodeMessage, type OracleRecord } from "../oracle/codec.ts";
import { FakeLink } from "./fake-link.ts";

/** A stream's handler that keeps what it heard. */
export function ear(heard: string[] = []): StreamHandler {
  return {
    head: () => void heard.push("head"),
    data: (bytes) => void heard.push(`data ${bytes.length}`),
    end: () => void heard.push("end"),
    left: () => void heard.push("left"),
    reset: (code) => void heard.push(`reset ${code}`),
    writable() {},
  };
}

/** Lets what waits for the end of the turn run. */
export async function turn(times = 4): Promise<void> {
  for (let time = 0; time < times; time++) await new Promise((resolve) => setImmediate(resolve));
}

/** A driver, the session on it, and all that it told. */
export class Bench {
  readonly session: Session;
  readonly driver: Driver;
  readonly events: string[] = [];
  readonly opened: Stream[] = [];
  readonly memory = new Memory(2 ** 26);

  constructor(
    readonly clock: VirtualClock = new VirtualClock(),
    side: "agent" | "relay" = "agent",
    options: Partial<DriverOptions> = {},
  ) {
    const window = limits.initialWindowBytes;
    const { memory } = this;
    this.session = new Session(
      { side, window, peerWindow: window, streams: 16, peerStreams: 16, memory },
      clock.now(),
    );
    this.driver = new Driver(
      this.session,
      clock,
      {
        opened: (stream) => {
          this.opened.push(stream);
          return ear();
        },
        goaway: (kind, code) => void this.events.push(`goaway ${kind} ${code}`),
        linkState: (state) => void this.events.push(state),
        doubted: (slot) => void this.events.push(`doubted ${slot}`),
        progress: () => void this.events.push("progress"),
        over: (code) => void this.events.push(`over ${code}`),
      },
      { pingsWhenIdle: side === "agent", resumeWindowMs: 60_000, ...options },
    );
  }

  /** A fresh link that is the session's from now on. */
  link(resumed = false): FakeLink {
    const link = new FakeLink();
    const { received, acknowledgedCount } = this.session.ledger;
    const resumption = { peerReceived: acknowledgedCount, told: received, tripMs: 0 };
    this.driver.link(link, () => void this.events.push("closed"), resumed ? resumption : undefined);
    // An agent asks at once on a fresh session, and is answered.
    if (link.texts.length > 0) link.handler.heard();
    link.texts.length = 0;
    return link;
  }

  /** Opens a stream, whose OPEN leaves. */
  async open(heard: string[] = []): Promise<Stream> {
    const stream = this.session.open(1, new Uint8Array(1), ear(heard));
    if (stream === undefined) throw new Error("the stream is refused");
    await turn();
    return stream;
  }

  /** What came of it since the last look. */
  told(): string[] {
    return this.events.splice(0);
  }
}

export const say = (...records: OracleRecord[]): Uint8Array => encodeMessage(records);
export const open: OracleRecord = { record: "OPEN", stream: 2, kind: 1, head: "00" };
export const ack = (count: number): OracleRecord => ({ record: "ACK", count });
export const kinds = (link: FakeLink): string[][] =>
  link.messages.map((bytes) => decodeMessage(bytes).records.map(({ record }) => record));
