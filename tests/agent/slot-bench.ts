import { Slot, type SlotOptions, type SlotOwner } from "../../shared/dial/slot.ts";
import type { UnderpassError } from "../../shared/errors.ts";
import { type Hello, readHello, type Welcome, writeWelcome } from "../../shared/handshake.ts";
import type { Link } from "../../shared/link.ts";
import { limits } from "../../shared/mux/limits.ts";
import { Memory } from "../../shared/mux/memory.ts";
import type { Stream } from "../../shared/mux/stream.ts";
import { isProof } from "../../shared/proof.ts";
import { decodeMessage, encodeMessage, type OracleRecord } from "../oracle/codec.ts";
import { turn } from "../shared/driver-bench.ts";
import { FakeLink } from "../shared/fake-link.ts";
import { VirtualClock } from "./virtual-clock.ts";

export const secret = "s".repeat(42).concat("A");
export const instance = "i".repeat(32);

/** One dial of a slot's, to be answered by the test as a relay would. */
export class SlotDial {
  readonly link = new FakeLink();
  cancelled = false;
  private seen = 0;

  constructor(
    /** The session to resume, of the path. */
    readonly session: string | undefined,
    private readonly done: (result: Link | UnderpassError) => void,
  ) {}

  refuse(error: UnderpassError): void {
    this.done(error);
  }
  /** The 101. */
  opens(): void {
    this.done(this.link);
  }
  /** The 101. Returns the HELLO that follows. */
  accept(): Hello {
    this.opens();
    return this.hello;
  }
  get hello(): Hello {
    const result = readHello(this.link.messages[0] ?? new Uint8Array(0));
    if (result.kind !== "ok") throw new Error("no HELLO");
    return result.value;
  }
  /** Whether HELLO proves that its sender knows the secret. */
  get isProven(): boolean {
    const { resume, attempt, received } = this.hello;
    return (
      resume !== undefined && isProof(resume.proof, secret, { session: resume.session, attempt, received })
    );
  }
  /** Says WELCOME, after the 101 where that is still to be said. */
  welcome(facts: Partial<Welcome> = {}): this {
    if (this.link.messages.length === 0) this.accept();
    const { received, resume } = this.hello;
    const resumed = facts.resumed ?? resume !== undefined;
    this.link.comes(
      writeWelcome({
        ...{ version: 1, features: [], session: resume?.session ?? "first", resumed },
        ...(resumed ? { first: received + 1 } : { secret, first: 1 }),
        ...{ received: 0, window: limits.initialWindowBytes, streams: 16, generation: 1 },
        ...{ resumeWindowMs: 60_000, urls: ["http://blue.localhost"] },
        ...facts,
      }),
    );
    // The agent asks at once on a fresh session, and is answered.
    if (this.link.texts.length > 0) this.link.handler.heard();
    this.link.texts.length = 0;
    return this;
  }
  says(...records: OracleRecord[]): void {
    this.link.comes(encodeMessage(records));
  }
  goaway(
    kind: "drain" | "bye" | "error",
    code: "going-away" | "superseded" | "handshake-timeout",
    graceMs = 30_000,
  ): void {
    this.says({ record: "GOAWAY", kind, code, lastStream: 0, graceMs, reason: "" });
  }
  /** What the agent has said after HELLO since the last look. */
  told(): OracleRecord[] {
    const from = Math.max(1, this.seen);
    this.seen = this.link.messages.length;
    return this.link.messages.slice(from).flatMap((bytes) => decodeMessage(bytes).records);
  }
}

/** A slot, its dials, and what it tells its owner. */
export class SlotBench implements SlotOwner {
  readonly clock = new VirtualClock();
  readonly slot: Slot;
  readonly dials: SlotDial[] = [];
  readonly events: string[] = [];
  /** Streams that the relay has opened, and what each heard. */
  readonly streams: { readonly stream: Stream; readonly heard: string[] }[] = [];
  /** What the backoff was asked for and told: the least delay of each wait, or `reset`. */
  readonly waits: (number | "reset")[] = [];

  constructor(options: Partial<SlotOptions> = {}) {
    this.slot = new Slot(
      {
        ...{ index: 0, kind: "http", features: [], instance, join: false, version: "0.0.0" },
        clock: this.clock,
        memory: new Memory(2 ** 28),
        backoff: {
          next: (atLeastMs) => {
            this.waits.push(atLeastMs ?? 0);
            return 100 + (atLeastMs ?? 0);
          },
          succeeded: () => void this.waits.push("reset"),
        },
        openLink: (session, done) => {
          const dial = new SlotDial(session, done);
          this.dials.push(dial);
          return () => {
            dial.cancelled = true;
          };
        },
        isFinal: (error) => error.fatal,
        doubted: (slot) => void this.events.push(`doubted ${slot}`),
        ...options,
      },
      this,
    );
    this.slot.start();
  }

  opened(stream: Stream) {
    const heard: string[] = [];
    this.streams.push({ stream, heard });
    return {
      ...{ head() {}, end() {}, left() {}, writable() {} },
      data: (bytes: Uint8Array) => void heard.push(`data ${bytes.length}`),
      reset: (code: string) => void heard.push(`reset ${code}`),
    };
  }
  up(_slot: Slot, welcome: Welcome, { resumed }: { readonly resumed: boolean }): void {
    this.events.push(`up ${welcome.session}${resumed ? " resumed" : ""}`);
  }
  suspect(): void {
    this.events.push("suspect");
  }
  down(_slot: Slot, { code }: UnderpassError, attempt: number, delayMs: number | undefined): void {
    this.events.push(`down ${code} ${attempt} ${delayMs}`);
  }

  /** What came since the last look. */
  told(): string[] {
    return this.events.splice(0);
  }
  /** The latest dial. */
  get dial(): SlotDial {
    const dial = this.dials.at(-1);
    if (dial === undefined) throw new Error("no dial");
    return dial;
  }
  /** The first session is up, with `streams` streams of the relay's, which no later ACK of ours is owed for. */
  async begin(streams = 0): Promise<SlotDial> {
    const dial = this.dial.welcome();
    for (let one = 1; one <= streams; one++) {
      dial.says({ record: "OPEN", stream: 2 * one, kind: 1, head: "00" });
      await turn();
    }
    this.clock.advance(25);
    await turn();
    this.told();
    dial.told();
    return dial;
  }
  /** Something of ours waits for an answer, which does not come in time. */
  async suspects(): Promise<void> {
    this.streams[0]?.stream.write(new Uint8Array(1));
    await turn();
    this.clock.advance(500);
  }
  /** Time passes so slowly that promises keep up. */
  async passes(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 25) {
      this.clock.advance(Math.min(left, 25));
      await turn(1);
    }
  }
}
