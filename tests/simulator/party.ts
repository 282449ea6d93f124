import type { Code } from "../../shared/errors.ts";
import { limits } from "../../shared/mux/limits.ts";
import type { Memory } from "../../shared/mux/memory.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import type { Machine } from "./machine.ts";
import { isPattern, patternBytes } from "./pattern.ts";
import type { PartyPlan, StepPlan } from "./plan.ts";

type Word = "head" | "data" | "end" | "left";

/** One process, what its streams may hold, and what its readers do hold. */
export interface Place {
  readonly side: "agent" | "relay";
  readonly machine: Machine;
  readonly memory: Memory;
  /** Readers that hold something. */
  readonly holders: Set<Party>;
}

/** Who wants to know what becomes of a party. */
export interface PartyOwner {
  /** The stream ended by a RESET of the other side or of its session. */
  failed(party: Party, code: Code): void;
}

/**
 * One side of one exchange: says what its plan tells, in a known pattern, reads as its plan tells, and checks each
 * event against what the other side has said: nothing is lost, doubled, or out of order.
 */
export class Party implements StreamHandler {
  peer: Party | undefined;
  stream: Stream | undefined;
  heardEnd = false;
  heardLeft = false;
  heardReset: Code | undefined;
  /** What it reset with itself: nothing may be heard after. */
  ownReset: Code | undefined;
  saidEnd = false;
  /** All steps are done. */
  done = false;
  #step = 0;
  #written = 0;
  #read = 0;
  #held = 0;
  #heldCost = 0;
  #full = false;
  #taking = false;
  /** A step waits for its time. */
  #waiting = false;
  #widest = 0;
  readonly #said: Word[] = [];
  readonly #sizes: number[] = [];
  /** How far into what the peer said this side has heard. */
  #at = 0;
  #part = 0;

  constructor(
    readonly id: number,
    readonly place: Place,
    private readonly plan: PartyPlan,
    private readonly owner: PartyOwner,
  ) {}

  /** The stream is over for this side, one way or the other. */
  get over(): boolean {
    return this.heardReset !== undefined || this.ownReset !== undefined || this.stream?.closed === true;
  }

  /** All that the peer has said was heard; a LEFT that nobody waits for may cross the peer's own END. */
  get heardAll(): boolean {
    const { peer } = this;
    if (peer === undefined) return true;
    const last = peer.#said.at(-1) === "left" ? peer.#said.length - 1 : peer.#said.length;
    return this.#at >= last && this.#part === 0;
  }

  begin(stream: Stream): void {
    this.stream = stream;
    this.#go();
  }

  #go(): void {
    const step = this.plan.steps[this.#step];
    if (step === undefined || this.over) {
      this.done = true;
      return;
    }
    if (this.#full || this.#waiting) return;
    if (step.waitMs === 0) {
      this.#do(step);
      return;
    }
    const { machine } = this.place;
    this.#waiting = true;
    machine.at(machine.now() + step.waitMs, () => {
      this.#waiting = false;
      if (!this.over) this.#do(step);
    });
  }

  #do(step: StepPlan): void {
    const { stream } = this;
    if (stream === undefined) return;
    if (step.do === "await" && !(step.bytes > 0 ? this.heardLeft : this.heardEnd)) {
      // Called again when it is heard.
      return;
    }
    this.#step++;
    switch (step.do) {
      case "await":
        break;
      case "head":
        this.#say("head", step.bytes);
        stream.head(patternBytes(this.#key, 0, step.bytes));
        break;
      case "write": {
        const bytes = patternBytes(this.#key, this.#written, step.bytes);
        this.#written += step.bytes;
        this.#say("data", step.bytes);
        this.#full = !stream.give(bytes);
        break;
      }
      case "end":
        this.#end(stream);
        break;
      case "left":
        if (!stream.closed) this.#say("left", 0);
        stream.left();
        break;
      case "reset":
        this.#reset(stream, this.place.side === "relay" ? "cancelled" : "origin-closed");
        break;
      case "finish":
        this.#end(stream);
        this.#reset(stream, "no-error");
    }
    this.#go();
  }

  #say(word: Word, size: number): void {
    this.#said.push(word);
    this.#sizes.push(size);
  }

  #end(stream: Stream): void {
    if (!stream.closed) this.#say("end", 0);
    this.saidEnd = true;
    stream.end();
  }

  #reset(stream: Stream, code: Code): void {
    if (stream.closed) return;
    this.#letGo(0);
    this.ownReset = code;
    stream.reset(code);
  }

  // StreamHandler

  head(fields: Uint8Array): void {
    this.#hear("head", fields.length);
    if (!isPattern(fields, this.#peerKey, 0)) this.#wrong("a head has other bytes");
  }

  data(bytes: Uint8Array): void {
    // A crumb costs credit, and nobody writes nothing.
    if (bytes.length === 0) this.#wrong("an empty piece");
    this.#hear("data", bytes.length);
    if (!isPattern(bytes, this.#peerKey, this.#read)) this.#wrong(`bytes from ${this.#read} are others`);
    this.#read += bytes.length;
    if (this.plan.reads === undefined) {
      this.stream?.held(0);
      return;
    }
    this.#held += bytes.length;
    this.#heldCost += bytes.length + limits.frameCost;
    this.place.holders.add(this);
    this.#checkBounds();
    if (!this.#taking) this.#takeLater();
  }

  /** What a reader does not take fills its window and no more, and all windows are within what was reserved. */
  #checkBounds(): void {
    this.#widest = Math.max(this.#widest, this.stream?.window ?? 0);
    if (this.#heldCost > this.#widest)
      this.#wrong(`${this.#heldCost} of credit are held in a window of ${this.#widest}`);
    const { holders, memory } = this.place;
    let held = 0;
    for (const party of holders) held += party.stream?.closed === true ? 0 : party.#held;
    if (held > memory.reservedBytes)
      this.#wrong(`readers hold ${held} bytes, and ${memory.reservedBytes} are reserved`);
  }

  end(): void {
    this.#hear("end", 0);
    this.heardEnd = true;
    this.#go();
  }

  left(): void {
    this.#hear("left", 0);
    this.heardLeft = true;
    this.#go();
  }

  reset(code: Code): void {
    this.#listen("a reset");
    this.heardReset = code;
    this.#letGo(0);
    if (code === "no-error" && !this.heardAll) this.#wrong("the peer was complete, but not all of it came");
    this.owner.failed(this, code);
  }

  writable(): void {
    this.#listen("`writable`");
    if (!this.#full) this.#wrong("`writable` without a `false` before it");
    this.#full = false;
    this.#go();
  }

  #hear(word: Word, size: number): void {
    this.#listen(word);
    const { peer } = this;
    if (peer === undefined) return this.#wrong(`${word} of nobody`);
    let at = this.#at;
    let part = this.#part;
    let left = size;
    do {
      if (peer.#said[at] !== word) this.#wrong(`${word}, where the peer said ${peer.#said[at] ?? "no more"}`);
      const whole = peer.#sizes[at] ?? 0;
      const take = Math.min(left, whole - part);
      left -= take;
      part += take;
      if (word !== "data" && whole !== size) this.#wrong(`${word} of ${size}, where the peer said ${whole}`);
      if (part < whole) break;
      at++;
      part = 0;
    } while (left > 0);
    this.#at = at;
    this.#part = part;
  }

  #listen(what: string): void {
    if (this.ownReset !== undefined) this.#wrong(`${what} after its own reset`);
    if (this.heardReset !== undefined) this.#wrong(`${what} after a reset`);
    if (this.place.machine.dead) this.#wrong(`${what} in a process that is dead`);
    if (this.heardEnd && what !== "left" && what !== "a reset" && what !== "`writable`")
      this.#wrong(`${what} after the end`);
  }

  // A slow reader

  #takeLater(): void {
    const { machine } = this.place;
    this.#taking = true;
    machine.at(machine.now() + (this.plan.reads?.everyMs ?? 0), () => {
      this.#taking = false;
      if (this.ownReset !== undefined || this.heardReset !== undefined) return;
      this.#letGo(Math.max(0, this.#held - (this.plan.reads?.bytes ?? 0)));
      this.stream?.held(this.#held);
      if (this.#held > 0) this.#takeLater();
    });
  }

  #letGo(rest: number): void {
    this.#heldCost = rest === 0 ? 0 : Math.ceil((this.#heldCost * rest) / Math.max(1, this.#held));
    this.#held = rest;
    if (rest === 0) this.place.holders.delete(this);
  }

  get #key(): number {
    return this.id * 2 + (this.place.side === "agent" ? 1 : 0);
  }
  get #peerKey(): number {
    return this.id * 2 + (this.place.side === "agent" ? 0 : 1);
  }

  #wrong(what: string): never {
    return this.place.machine.world.fail(`exchange ${this.id} at the ${this.place.side}: ${what}`);
  }
}
