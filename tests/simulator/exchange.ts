import type { Code } from "../../shared/errors.ts";
import type { Stream } from "../../shared/mux/stream.ts";
import { Party, type Place } from "./party.ts";
import type { ExchangePlan } from "./plan.ts";

const idBytes = 4;

/** A head that names its exchange. */
export function writeHead(id: number, size: number): Uint8Array {
  const fields = new Uint8Array(Math.max(idBytes, size));
  new DataView(fields.buffer).setUint32(0, id);
  return fields;
}

export function readHead(fields: Uint8Array): number {
  return new DataView(fields.buffer, fields.byteOffset, fields.length).getUint32(0);
}

/** Whether a party may have failed like that. */
export type Judge = (exchange: Exchange, party: Party, code: Code) => void;

/** One visitor's exchange: opened at the relay, and at an agent at most once, whatever happens to links. */
export class Exchange {
  state: "planned" | "waiting" | "open" = "planned";
  relay: Party | undefined;
  agent: Party | undefined;
  /** The stream failed for a reason that is allowed. */
  failure: Code | undefined;
  /** How often no agent had looked at it. */
  unprocessed = 0;

  constructor(
    readonly id: number,
    readonly plan: ExchangePlan,
    private readonly judge: Judge,
    /** No agent has looked at it: it may be opened again. */
    private readonly again: (exchange: Exchange) => void,
  ) {}

  /** Tries to open it. false: nobody takes it now. */
  openAt(place: Place, open: (fields: Uint8Array, party: Party) => Stream | undefined): boolean {
    const party = new Party(this.id, place, this.plan.relay, this.#owner);
    const stream = open(writeHead(this.id, this.plan.headBytes), party);
    if (stream === undefined) return false;
    this.state = "open";
    this.relay = party;
    party.begin(stream);
    return true;
  }

  /** An agent was told of it. */
  arriveAt(place: Place, stream: Stream): Party {
    const { world } = place.machine;
    if (this.agent !== undefined) world.fail(`exchange ${this.id} reached an agent twice`);
    if (this.relay === undefined || this.state !== "open")
      return world.fail(`exchange ${this.id} reached an agent, and is not open at the relay`);
    const party = new Party(this.id, place, this.plan.agent, this.#owner);
    this.agent = party;
    party.peer = this.relay;
    this.relay.peer = party;
    // The stream gives its handler the word only after this returned.
    place.machine.soon(() => {
      if (!stream.closed) party.begin(stream);
      else party.stream = stream;
    });
    party.stream = stream;
    return party;
  }

  readonly #owner = {
    failed: (party: Party, code: Code): void => {
      if (code === "unprocessed" && party.place.side === "relay") {
        if (this.agent !== undefined)
          party.place.machine.world.fail(`exchange ${this.id} is called unprocessed, and an agent has it`);
        this.unprocessed++;
        this.relay = undefined;
        this.state = "waiting";
        this.again(this);
        return;
      }
      this.judge(this, party, code);
    },
  };

  /** Nothing of it is left to happen. */
  get finished(): boolean {
    const { relay, agent } = this;
    if (this.state !== "open") return false;
    return isFinished(relay) && (agent === undefined || isFinished(agent));
  }
}

function isFinished(party: Party | undefined): boolean {
  return party === undefined || party.place.machine.dead || party.over;
}
