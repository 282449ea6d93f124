import type { Admission } from "../../relay/admission.ts";
import type { Claims } from "../../relay/auth/claims.ts";
import { Callers } from "../../relay/callers.ts";
import { Metrics } from "../../relay/metrics.ts";
import { Names } from "../../relay/names.ts";
import { Reception, type ReceptionDeps } from "../../relay/reception.ts";
import type { Sleep } from "../../relay/sleep.ts";
import type { SharedNames } from "../../relay/stores/shared-names.ts";
import { Suspended } from "../../relay/suspended.ts";
import { Tunnels, type TunnelsOptions } from "../../relay/tunnels.ts";
import { UnderpassError } from "../../shared/errors.ts";
import { type Hello, readWelcome, type Welcome, writeHello } from "../../shared/handshake.ts";
import { pingText } from "../../shared/liveness.ts";
import { limits } from "../../shared/mux/limits.ts";
import { Memory } from "../../shared/mux/memory.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import { prove } from "../../shared/proof.ts";
import { VirtualClock } from "../agent/virtual-clock.ts";
import { decodeMessage, encodeMessage, type OracleRecord } from "../oracle/codec.ts";
import { turn } from "../shared/driver-bench.ts";
import { FakeLink } from "../shared/fake-link.ts";

/** An agent's link as the relay got it: what the relay says is looked at, and what the agent says is up to the test. */
export class Caller {
  private seen = 0;

  constructor(readonly link: FakeLink = new FakeLink()) {}

  /** The WELCOME that the relay has said first. */
  get welcome(): Welcome {
    const result = readWelcome(this.link.messages[0] ?? new Uint8Array(0));
    if (result.kind !== "ok") throw new Error(`no WELCOME: ${this.refusal}`);
    return result.value;
  }
  /** The code of the GOAWAY that it has said instead. */
  get refusal(): string | undefined {
    const [first] = this.link.messages;
    const [record] = first === undefined ? [] : decodeMessage(first).records;
    return record?.record === "GOAWAY" && record.kind === "error" ? record.code : undefined;
  }
  /** What the relay has said after WELCOME since the last look. */
  told(): OracleRecord[] {
    const from = Math.max(1, this.seen);
    this.seen = this.link.messages.length;
    return this.link.messages.slice(from).flatMap((bytes) => decodeMessage(bytes).records);
  }
  says(...records: OracleRecord[]): void {
    this.link.comes(encodeMessage(records));
  }
}

export type HelloFacts = Partial<Hello> & {
  /** What the path names; absent: what `resume` does. */
  readonly path?: string | undefined;
  readonly name?: string;
  readonly token?: string;
  /** The kind that the dial names; absent: that of the HELLO. */
  readonly dialled?: Hello["kind"];
};

/** Sessions of one subject that call: low, as ids are drawn from few. */
export const maxCallers = 20;

export const instance = (letter: string): string => letter.repeat(32);

export interface DeskOptions {
  /** Names that it has together with other desks. */
  readonly shared?: SharedNames;
  readonly clock?: VirtualClock;
  /** Where the relay sleeps. */
  readonly sleep?: Sleep;
  /** Ids and secrets that were drawn before. */
  readonly drawn?: number;
  readonly memory?: Memory;
  readonly maxLinks?: number;
  /** Where links go whose session another relay has. */
  readonly cluster?: Pick<ReceptionDeps, "elsewhere" | "passOn" | "process" | "relayTokens">;
}

/** A reception with everything behind it, a token for each subject (its text), and virtual time. */
export class Desk {
  readonly clock: VirtualClock;
  readonly metrics = new Metrics();
  readonly names: Names;
  readonly tunnels: Tunnels;
  readonly callers: Callers;
  /** What the next token allows beside what all do. */
  granted: Partial<Claims> = {};
  /** Who takes streams that agents open. */
  opened: ReceptionDeps["calls"] = (_agent, stream) => stream.handler;
  offered: ReceptionDeps["offers"] = () => true;
  readonly reception: Reception;
  readonly log: string[] = [];
  draining = false;
  /** When the next token that is checked ends, from the date of now. */
  tokenMs = 3_600_000;
  drawn: number;
  readonly shared: SharedNames | undefined;

  constructor({
    clock = new VirtualClock(),
    sleep,
    shared,
    drawn = 0,
    memory = new Memory(2 ** 28),
    maxLinks,
    cluster,
  }: DeskOptions = {}) {
    const { metrics } = this;
    this.clock = clock;
    this.drawn = drawn;
    this.shared = shared;
    const random = (bytes: Uint8Array<ArrayBuffer>) => bytes.fill(++this.drawn);
    this.names = new Names({ ttlMs: 3_600_000, maxNames: 100, random }, shared);
    const resumeWindowMs = 60_000;
    const suspended = new Suspended(memory);
    const departed: TunnelsOptions["departed"] = (name, agent, { bye }) =>
      shared?.depart(name, agent, { bye, keepsPlace: this.draining && !bye });
    this.tunnels = new Tunnels(this.names, { memory, suspended, resumeWindowMs, departed });
    this.callers = new Callers(suspended, memory, maxCallers);
    const tokens: Pick<ReceptionDeps["tokens"], "verify"> = {
      verify: async (subject, nowMs) => ({
        ...{ issuer: "underpass", subject, kinds: ["http", "private"], connect: [], egress: [] },
        ...this.granted,
        issuedAtMs: nowMs,
        expiresAtMs: nowMs + this.tokenMs,
      }),
    };
    this.reception = new Reception({
      ...{ clock, metrics, names: this.names, tunnels: this.tunnels, memory, random, resumeWindowMs },
      callers: this.callers,
      calls: (agent, stream, fields) => this.opened(agent, stream, fields),
      offers: (kind) => this.offered(kind),
      tokens: tokens as ReceptionDeps["tokens"],
      log: { write: (event) => void this.log.push(`${event.event} ${"state" in event ? event.state : ""}`) },
      urlsOf: (name) => [`http://${name}.localhost`],
      draining: () => this.draining,
      ...(sleep !== undefined && { sleep }),
      ...(maxLinks !== undefined && { maxLinks }),
      shared,
      ...cluster,
    });
    if (shared !== undefined)
      shared.watcher = {
        changed() {},
        fenced: (...name) => this.reception.fenced(...name),
        here: (name) => this.tunnels.sessionsOf(name).filter(({ leaving }) => !leaving),
      };
  }

  /** What an agent's next link is, at the relay. */
  newLink(): FakeLink {
    return new FakeLink();
  }

  /** A dial that is let in, and its link. */
  async dial({
    name = "blue",
    token = "me",
    path,
    kind = "http",
  }: HelloFacts = {}): Promise<[Caller, Admission]> {
    const admission = await this.reception.admit({ name, kind, session: path }, token);
    const caller = new Caller(this.newLink());
    this.reception.receive(caller.link, admission);
    return [caller, admission];
  }

  /** A dial and its HELLO. */
  async call({ path, name, token, dialled, ...hello }: HelloFacts = {}): Promise<Caller> {
    const session = path ?? hello.resume?.session;
    const kind = dialled ?? hello.kind;
    const facts = { ...(name && { name }), ...(token && { token }), ...(kind && { kind }) };
    const [caller] = await this.dial({ path: session, ...facts });
    caller.link.comes(writeHello(helloOf(hello)));
    // Its place is written first.
    if (this.shared !== undefined) await turn();
    // An agent's first word on a fresh session, and the relay's answer.
    if (caller.link.ended === undefined && caller.refusal === undefined && !caller.welcome.resumed) {
      caller.link.says(pingText);
      caller.link.texts.length = 0;
    }
    return caller;
  }

  /** A call that resumes the session of `welcome`; `facts` says what is other than an honest agent has it. */
  resume(welcome: Welcome, facts: HelloFacts & { readonly only?: boolean } = {}): Promise<Caller> {
    const { only, ...more } = facts;
    return this.call({ resume: { ...resumeOf(welcome, more), ...(only && { only }) }, attempt: 2, ...more });
  }

  async refusalOf(dial: Promise<unknown>): Promise<string> {
    try {
      await dial;
    } catch (error) {
      if (error instanceof UnderpassError) return error.code;
      throw error;
    }
    return "none";
  }
}

/** HELLO's `resume`, with the proof for the attempt and the count of `facts`. */
export function resumeOf(
  { session, secret = "" }: Welcome,
  { attempt = 2, received = 0 }: HelloFacts = {},
): { session: string; proof: string } {
  return { session, proof: prove(secret, { session, attempt, received }) };
}

/** An honest HELLO, but for `facts`. */
export function helloOf(facts: Partial<Hello>): Hello {
  return {
    ...{ version: 1, features: [], kind: "http", instance: instance("a"), slot: 0, attempt: 1 },
    ...{ window: limits.initialWindowBytes, streams: 16, received: 0 },
    ...facts,
  };
}

/** A relay's stream to this tunnel's agent, whose OPEN leaves, and what becomes of it. */
export async function visit(desk: Desk, heard: string[] = []): Promise<Stream> {
  const handler: StreamHandler = {
    ...{ head() {}, data: () => void heard.push("data"), end() {}, left() {}, writable() {} },
    reset: (code) => void heard.push(`reset ${code}`),
  };
  const stream = desk.tunnels.find("blue")?.open("http", 1, new Uint8Array(1), handler);
  if (stream === undefined) throw new Error("no session takes a stream");
  await turn();
  return stream;
}

/** What the relay has said on a link since the last look, by name. */
export const kinds = (caller: Caller): string[] => caller.told().map(({ record }) => record);
