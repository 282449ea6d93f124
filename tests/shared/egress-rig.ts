import type { Clock } from "../../shared/clock.ts";
import { EgressDoor, type EgressDoorDeps, type EgressEnd } from "../../shared/egress/door.ts";
import { parsePattern } from "../../shared/egress/pattern.ts";
import { EgressPolicy } from "../../shared/egress/policy.ts";
import { type Code, UnderpassError } from "../../shared/errors.ts";
import { encodeHead } from "../../shared/head.ts";
import { streamKinds } from "../../shared/kind.ts";
import { limits } from "../../shared/mux/limits.ts";
import { Memory } from "../../shared/mux/memory.ts";
import { Session } from "../../shared/mux/session.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import type { Dial, DialHandler } from "../../shared/socket.ts";
import { VirtualClock } from "../agent/virtual-clock.ts";

/** What the names of a test resolve to: one list for each look-up, the last one again after it; an error rejects. */
export type Answers = Readonly<Record<string, readonly (readonly string[] | Error)[]>>;

/** One dial that a door has begun and a test answers. */
export interface FakeDial {
  readonly host: string | undefined;
  readonly port: number | undefined;
  readonly timeoutMs: number;
  readonly handler: DialHandler;
  cancelled: boolean;
}

export interface EgressRigOptions {
  readonly answers?: Answers;
  /** Absent: dials are kept in `dials` and answered by the test. */
  readonly dial?: Dial;
  readonly clock?: Clock;
  readonly isOwn?: EgressDoorDeps["isOwn"];
  readonly isFull?: () => boolean;
  readonly openDatagrams?: EgressDoorDeps["openDatagrams"];
  /** Instead of `answers`. */
  readonly resolve?: EgressDoorDeps["resolve"];
}

export function policyOf(...patterns: readonly string[]): EgressPolicy {
  return new EgressPolicy(patterns.map(parsePattern));
}

/** An EgressDoor behind a real session, with the opener's session beside it: what is opened at one arrives at the door. */
export class EgressRig {
  readonly clock: Clock;
  readonly door: EgressDoor;
  readonly dials: FakeDial[] = [];
  /** Names, in the order in which they were looked up. */
  readonly lookups: string[] = [];
  readonly ends: EgressEnd[] = [];
  readonly #opener: Session;
  readonly #served: Session;
  /** Of the stream that is opened next. */
  #policy = policyOf();
  #isPumping = false;

  constructor({
    answers = {},
    dial,
    clock = new VirtualClock(),
    isOwn,
    isFull,
    resolve,
    openDatagrams,
  }: EgressRigOptions = {}) {
    this.clock = clock;
    const asked = new Map<string, number>();
    const answered = async (name: string) => {
      this.lookups.push(name);
      const times = asked.get(name) ?? 0;
      asked.set(name, times + 1);
      const answer =
        answers[name]?.[times] ?? answers[name]?.at(-1) ?? new UnderpassError("origin-not-found");
      if (answer instanceof Error) throw answer;
      return answer;
    };
    this.door = new EgressDoor({
      clock,
      dial: dial ?? ((target, timeoutMs, handler) => this.#fakeDial(target, timeoutMs, handler)),
      resolve: resolve ?? answered,
      ...(isOwn && { isOwn }),
      ...(isFull && { isFull }),
      ...(openDatagrams && { openDatagrams }),
    });
    this.#opener = this.#session("agent", () => undefined);
    this.#served = this.#session("relay", (stream, fields) =>
      this.door.open(stream, fields, this.#policy, (end) => void this.ends.push(end)),
    );
  }

  /** Opens a stream with `target`; it has arrived at the door when this returns. */
  open(
    target: string | undefined,
    policy: EgressPolicy,
    { kind = streamKinds.tcp as number, early = "" } = {},
  ): Outgoing {
    const call = new Outgoing();
    this.#policy = policy;
    const stream = this.#opener.open(kind, encodeHead(target === undefined ? {} : { target }), call);
    if (stream === undefined) throw new Error("the session opens no stream");
    call.stream = stream;
    if (early !== "") call.write(early);
    this.#pump();
    return call;
  }

  /** The opener's session is gone. */
  lose(): void {
    this.#served.lost("link-lost");
  }

  /** What was said at the opener's end has arrived, and the other way round. */
  arrive(): void {
    this.#pump();
  }

  /** At the door's side. */
  get openStreams(): number {
    return this.#served.openStreams;
  }

  #fakeDial(target: { host?: string; port?: number }, timeoutMs: number, handler: DialHandler): () => void {
    const dial: FakeDial = { host: target.host, port: target.port, timeoutMs, handler, cancelled: false };
    this.dials.push(dial);
    return () => {
      dial.cancelled = true;
    };
  }

  #session(
    side: "agent" | "relay",
    opened: (stream: Stream, fields: Uint8Array) => StreamHandler | undefined,
  ): Session {
    const window = limits.initialWindowBytes;
    const memory = new Memory(1_073_741_824);
    const session = new Session(
      { side, window, peerWindow: window, streams: 4_096, peerStreams: 4_096, memory },
      0,
    );
    session.handler = {
      opened,
      wake: () => void setImmediate(() => this.#pump()),
      datagram: (stream, payload) => stream.handler.datagram?.(payload),
      doubted() {},
      goaway() {},
      over() {},
    };
    return session;
  }

  /** Moves messages until there are none. */
  #pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    for (let moved = true; moved; ) {
      moved = false;
      for (const [from, to] of [
        [this.#opener, this.#served] as const,
        [this.#served, this.#opener] as const,
      ]) {
        const message = from.poll(performance.now());
        if (message === undefined) continue;
        moved = true;
        to.handleMessage(message.slice(), performance.now());
      }
    }
    this.#isPumping = false;
  }
}

/** The opener's end of a stream: what it was told, in order. */
export class Outgoing implements StreamHandler {
  stream: Stream | undefined;
  isOpen = false;
  text = "";
  readonly datagrams: string[] = [];
  hasEnded = false;
  code: Code | undefined;
  #waiters: (() => void)[] = [];

  write(text: string): void {
    this.stream?.write(new TextEncoder().encode(text));
  }

  say(text: string): void {
    this.stream?.datagram(new TextEncoder().encode(text));
  }

  /** `opened`, or the code with which it was refused. */
  async outcome(): Promise<"opened" | Code> {
    await this.until(() => this.isOpen || this.code !== undefined);
    return this.code ?? "opened";
  }

  async until(is: () => boolean): Promise<void> {
    while (!is()) await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }

  head(): void {
    this.isOpen = true;
    this.#look();
  }
  data(bytes: Uint8Array): void {
    this.text += new TextDecoder().decode(bytes);
    this.stream?.held(0);
    this.#look();
  }
  end(): void {
    this.hasEnded = true;
    this.#look();
  }
  left(): void {}
  datagram(payload: Uint8Array): void {
    this.datagrams.push(new TextDecoder().decode(payload));
    this.#look();
  }
  reset(code: Code): void {
    this.code = code;
    this.#look();
  }
  writable(): void {}

  #look(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const resolve of waiters) resolve();
  }
}

/** Waits for what happens in other turns of the loop: the nth dial of `rig`. */
export async function dialOf(rig: EgressRig, index = 0): Promise<FakeDial> {
  for (;;) {
    const found = rig.dials[index];
    if (found !== undefined) return found;
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

export async function turns(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
}
