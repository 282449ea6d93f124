import type { Clock } from "./clock.ts";
import type { Code } from "./errors.ts";
import type { HeldPlace, HeldRequest, Hold } from "./hold.ts";
import { limits } from "./mux/limits.ts";
import { ownBytes } from "./mux/own-bytes.ts";
import type { Stream, StreamHandler } from "./mux/stream.ts";

/** How a request gets to the other side: by which sessions. */
export interface Way {
  /** Requests of one name wait in one queue. */
  readonly name: string;
  /** Opens a stream on the session that will answer soonest. undefined: none takes one now. */
  open(fields: Uint8Array, handler: StreamHandler): Stream | undefined;
  /** Somebody is there and stays: where `open` gives nothing, a limit is reached. */
  readonly reachable: boolean;
  /** Somebody was there lately and did not say bye. */
  readonly expected: boolean;
  /** A limit may be gone in a moment, and whoever comes this way would rather wait than be refused. */
  readonly isPatient: boolean;
  /** Why there is no use in waiting, where nobody is there nor expected. */
  readonly refusal: Code;
}

/** What a request needs of the side that it is on. */
export interface PassageDeps {
  readonly clock: Clock;
  readonly hold: Hold;
  readonly metrics: { streams: number; streamsOpen: number };
}

export const passageLimits = {
  /** A request that no agent has looked at goes on another stream so often. */
  maxRetries: 3,
  /** Of one request, kept until its agent has answered, so that it can be sent again. */
  maxKeptBytes: 65_536,
} as const;

/** What was sent of a request after its OPEN. */
type Said =
  | { readonly kind: "body" | "trailers"; readonly bytes: Uint8Array }
  | { readonly kind: "end" | "left" };

/**
 * A request's way to an agent. It waits in the hold while none is there, and where no agent has looked at its stream
 * (`unprocessed`), the same bytes go on another one; never otherwise. The handler hears of it as of one stream, and
 * of `reset` with the code of a refusal when nobody takes the request in time.
 */
export class Passage implements StreamHandler, HeldRequest {
  private current: Stream | undefined;
  private place: HeldPlace | undefined;
  private opening: Uint8Array | undefined;
  /** undefined: an agent has looked at the request, or there was too much to keep. It can't be sent again. */
  private said: Said[] | undefined;
  /** Of the opening and `said`: counted by the hold, among what waits or among what is under way. */
  private keptBytes = 0;
  private tries = 0;
  private counted = false;
  private complete = false;
  private hasLeft = false;
  private over = false;

  constructor(
    private readonly deps: PassageDeps,
    private readonly way: Way,
    private readonly handler: StreamHandler,
  ) {}

  /** The stream that carries the request now. */
  get stream(): Stream | undefined {
    return this.current;
  }
  /** It waits for an agent: the rest of the request had better stay unread until `writable`. */
  get waits(): boolean {
    return this.place !== undefined;
  }
  get closed(): boolean {
    return this.over || this.current?.closed === true;
  }
  /** Bytes that wait here, or in the stream, to be sent. */
  get queued(): number {
    return this.current?.queued ?? this.keptBytes;
  }
  /** Counted among the open streams. */
  get opened(): boolean {
    return this.counted;
  }

  /** Sends the request on its way, or lets it wait. Returns the code of a refusal: then the handler hears nothing. */
  start(opening: Uint8Array): Code | undefined {
    this.opening = opening;
    this.said = [];
    this.keptBytes = opening.length + limits.frameCost;
    const refusal = this.go();
    if (refusal === undefined) return undefined;
    this.keptBytes = 0;
    this.finish();
    return refusal;
  }

  // What comes from the visitor.

  /** false: no more until `writable`. */
  write(bytes: Uint8Array): boolean {
    if (this.over) return true;
    if (this.said !== undefined) this.keep({ kind: "body", bytes: ownBytes(bytes) }, bytes.length);
    // Kept too much: it has been refused.
    return this.current?.write(bytes) ?? this.over;
  }

  /** As `write` and `Stream.give`. */
  give(bytes: Uint8Array): boolean {
    const { current } = this;
    return this.over || this.said !== undefined || current === undefined
      ? this.write(bytes)
      : current.give(bytes);
  }

  sendTrailers(fields: Uint8Array): void {
    this.keep({ kind: "trailers", bytes: fields }, fields.length);
    this.current?.head(fields);
  }

  /** The request is complete. Idempotent. */
  sendEnd(): void {
    if (this.complete) return;
    this.complete = true;
    this.keep(ended, 0);
    this.current?.end();
  }

  /** After `sendEnd`: the visitor has closed his sending side. */
  sendLeft(): void {
    if (this.hasLeft) return;
    this.hasLeft = true;
    this.keep(hasLeft, 0);
    this.current?.left();
  }

  /** Ends both directions, or the wait. The handler hears nothing more. */
  cancel(code: Code): void {
    this.finish();
    this.current?.reset(code);
  }

  /** As `Stream.held`. */
  held(bytes: number): void {
    this.current?.held(bytes);
  }

  // What comes from the agent: its first word settles that the request is with it.

  head(fields: Uint8Array): void {
    this.settle();
    this.handler.head(fields);
  }
  data(bytes: Uint8Array): void {
    this.settle();
    this.handler.data(bytes);
  }
  end(): void {
    this.settle();
    this.handler.end();
  }
  left(): void {}
  writable(): void {
    this.handler.writable();
  }

  reset(code: Code): void {
    if (code !== "unprocessed") {
      this.finish();
      this.handler.reset(code);
      return;
    }
    this.current = undefined;
    this.uncount();
    if (this.said === undefined || ++this.tries > passageLimits.maxRetries) {
      this.giveUp();
      return;
    }
    this.deps.hold.giveBack(this.keptBytes);
    const refusal = this.go();
    if (refusal !== undefined) {
      this.keptBytes = 0;
      this.giveUp();
    } else if (!this.waits) this.goOn();
  }

  // HeldRequest

  tryAgain(): boolean {
    if (this.open()) {
      this.goOn();
      return true;
    }
    if (this.reachable || this.expected) return false;
    this.giveUp();
    return true;
  }

  expire(): void {
    this.giveUp();
  }

  private get reachable(): boolean {
    return this.way.reachable;
  }
  private get expected(): boolean {
    return this.way.expected;
  }

  private go(): Code | undefined {
    const { name } = this.way;
    const { hold } = this.deps;
    if (hold.holds(name)) hold.tryAgain(name);
    if (!hold.holds(name) && this.open()) return undefined;
    // Full: for a request no reason to wait, as it may stay so.
    if (this.reachable) {
      // A way that was closed for a moment may have opened since.
      if (!this.way.isPatient) return this.open() ? undefined : "too-many-streams";
    } else if (!this.expected) return this.way.refusal;
    this.place = hold.enter(name, this, this.keptBytes);
    return this.place === undefined ? "agent-offline" : undefined;
  }

  private open(): boolean {
    const { opening, said, deps } = this;
    if (opening === undefined || said === undefined) return false;
    const stream = this.way.open(opening, this);
    if (stream === undefined) return false;
    this.current = stream;
    // The hold frees the place itself.
    this.place = undefined;
    deps.metrics.streams++;
    deps.metrics.streamsOpen++;
    this.counted = true;
    if (this.keptBytes > passageLimits.maxKeptBytes || !deps.hold.borrow(this.keptBytes)) {
      this.keptBytes = 0;
      this.forget();
    }
    for (const one of said) {
      if (one.kind === "body") stream.write(one.bytes);
      else if (one.kind === "trailers") stream.head(one.bytes);
      else if (one.kind === "end") stream.end();
      else stream.left();
    }
    return true;
  }

  /** The visitor was stopped, by the hold or by the stream before this one. */
  private goOn(): void {
    // Nothing was added: asks only whether the stream has room.
    if (this.current?.write(nothing) === true) this.handler.writable();
  }

  private keep(one: Said, bytes: number): void {
    const { said, place } = this;
    if (said === undefined) return;
    const cost = bytes + limits.frameCost;
    if (place !== undefined) {
      if (!place.grow(cost)) return this.giveUp();
    } else if (this.keptBytes + cost > passageLimits.maxKeptBytes || !this.deps.hold.borrow(cost))
      return this.forget();
    this.keptBytes += cost;
    said.push(one);
  }

  /** It can't be sent again from here on. */
  private forget(): void {
    if (this.place === undefined) this.deps.hold.giveBack(this.keptBytes);
    this.keptBytes = 0;
    this.opening = undefined;
    this.said = undefined;
  }

  private settle(): void {
    this.forget();
    // It hears the rest itself.
    if (this.current !== undefined) this.current.handler = this.handler;
  }

  private finish(): void {
    this.over = true;
    this.place?.leave();
    this.forget();
    this.place = undefined;
  }

  private giveUp(): void {
    // Who was expected in vain is away, and who was only looked up may be anywhere.
    const code = this.reachable ? "too-many-streams" : this.expected ? "agent-offline" : this.way.refusal;
    this.finish();
    this.handler.reset(code);
  }

  private uncount(): void {
    if (this.counted) this.deps.metrics.streamsOpen--;
    this.counted = false;
  }
}

const nothing = new Uint8Array(0);
const ended: Said = { kind: "end" };
const hasLeft: Said = { kind: "left" };
