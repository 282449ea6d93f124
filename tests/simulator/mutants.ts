/** A fault that somebody might make, as a change of one text in one source. */
export interface Mutant {
  readonly name: string;
  readonly file: string;
  readonly search: string;
  readonly replace: string;
}

const ledger = "shared/mux/ledger.ts";
const session = "shared/mux/session.ts";
const stream = "shared/mux/stream.ts";
const outbox = "shared/mux/outbox.ts";
const driver = "shared/driver.ts";
const reception = "relay/reception.ts";
const sessionLife = "relay/session-life.ts";
const flight = "shared/mux/flight.ts";
const heldSession = "shared/dial/held-session.ts";

/** The simulator must find each of them: the test of the tester. Every `search` stands in its file exactly once. */
export const mutants: readonly Mutant[] = [
  {
    name: "the replay is one message short",
    file: ledger,
    search: "this.againCount = this.acknowledgedCount + 1;",
    replace: "this.againCount = this.acknowledgedCount + 2;",
  },
  {
    name: "each message is replayed twice",
    file: ledger,
    search: "    this.againCount++;\n",
    replace: "    if (message.sentMs === nowMs) this.againCount++;\n",
  },
  {
    name: "what is replayed has its old control records",
    file: ledger,
    search: "return message.bytes.subarray(message.framesAt);",
    replace: "return message.bytes;",
  },
  {
    name: "a message is acknowledged before it has come",
    file: ledger,
    search: "    return this.arrivedCount;\n",
    replace: "    return this.arrivedCount + 1;\n",
  },
  {
    name: "HELLO counts a message that has not come",
    file: heldSession,
    search: "const { received } = this.driver.session.ledger;\n    const session = this.#id;",
    replace: "const received = this.driver.session.ledger.received + 1;\n    const session = this.#id;",
  },
  {
    name: "WELCOME counts a message that has not come",
    file: reception,
    search: "first: peerReceived + 1, received: ledger.received }",
    replace: "first: peerReceived + 1, received: ledger.received + 1 }",
  },
  {
    name: "first is off by one",
    file: reception,
    search: "first: peerReceived + 1, received",
    replace: "first: peerReceived + 2, received",
  },
  {
    name: "what came before is not counted again when it is replayed",
    file: ledger,
    search: "if (this.arrivedCount <= this.receivedCount) return false;",
    replace: "if (this.arrivedCount <= this.receivedCount) { this.arrivedCount--; return false; }",
  },
  {
    name: "frames that came before are taken again",
    file: session,
    search: "        return this.ledger.arrives();\n",
    replace: "        return this.ledger.arrives() || true;\n",
  },
  {
    name: "the agent counts what follows from its own count, not from first",
    file: heldSession,
    search: "told: welcome.first - 1,",
    replace: "told: this.driver.session.ledger.received,",
  },
  {
    name: "kept messages are dropped with the link",
    file: session,
    search: "    this.suspended = true;\n",
    replace: "    this.suspended = true;\n    this.ledger.clear();\n",
  },
  {
    name: "resets that wait are lost with the link",
    file: outbox,
    search: "    this.datagrams.clear();\n    this.doubts.clear();\n",
    replace: "    this.datagrams.clear();\n    this.doubts.clear();\n    this.resets.clear();\n",
  },
  {
    name: "credit is not restated",
    file: session,
    search:
      "    for (const stream of this.streams.all()) if (stream.wantsCredit) this.outbox.addCredit(stream);\n",
    replace: "",
  },
  {
    name: "GOAWAY is not restated",
    file: session,
    search: "      this.outbox.setGoaway({ ...this.said, graceMs });\n",
    replace: "",
  },
  {
    name: "credit is given before the reader has taken anything",
    file: stream,
    search: "this.release(this.received - bytes - this.heldCost);",
    replace: "this.release(this.received);",
  },
  {
    name: "END goes before the DATA that waits",
    file: stream,
    search: "    this.items.push(endItem);\n",
    replace: "    this.items.unshift(endItem);\n",
  },
  {
    name: "LEFT is lost",
    file: stream,
    search: "return writer.frame(RecordType.left, this.id);",
    replace: "return;",
  },
  {
    name: "the flight has no budget",
    file: session,
    search: "!this.ended && !ledger.flight.full && outbox.hasFrames",
    replace: "!this.ended && outbox.hasFrames",
  },
  {
    name: "what an agent may have seen is called unprocessed",
    file: session,
    search: 'this.dropped(stream, stream.announced && !this.isRefused(stream) ? code : "unprocessed");',
    replace: 'this.dropped(stream, "unprocessed");',
  },
  {
    name: "memory is not given back",
    file: session,
    search:
      "    this.options.memory.release(firstReserve(stream.kind, this.options.window), stream.grownBytes);\n",
    replace: "",
  },
  {
    name: "what was acknowledged stays counted",
    file: ledger,
    search: "      else this.memory.beside.add(-size);\n",
    replace: "",
  },
  {
    name: "nothing is sent while memory is scarce",
    file: flight,
    search: "isScarce ? limits.scarceFlightBytes",
    replace: "isScarce ? 0",
  },
  {
    name: "the old link is read on after the resume",
    file: driver,
    search:
      "    linked.link.handler = { ...deafLinkHandler, closed: linked.closed };\n    linked.link.destroy();\n    this",
    replace: "    this",
  },
  {
    name: "the old link is left open",
    file: driver,
    search: "    linked.link.destroy();\n    this",
    replace: "    this",
  },
  {
    name: "the resume window never ends",
    file: driver,
    search: '() => this.session.lost("link-lost")',
    replace: "() => {}",
  },
  {
    name: "the proof is not checked",
    file: reception,
    search: 'isProof(resume?.proof ?? "", secret, { session: id, attempt, received });',
    replace: "isProof !== undefined;",
  },
  {
    name: "a proof holds for every attempt",
    file: "shared/proof.ts",
    search: "{attempt} $",
    replace: "{attempt === 0} $",
  },
  {
    name: "attempts are not compared",
    file: reception,
    search: 'if (attempt <= agent.attempt) return "superseded";',
    replace: "",
  },
  {
    name: "streams of a session that is gone stay open",
    file: "shared/dial/slot.ts",
    search: '    this.#current = undefined;\n    session.end("link-lost");\n',
    replace: "    this.#current = undefined;\n",
  },
  {
    name: "a silent link is never found dead",
    file: "shared/liveness.ts",
    search: "    if (nowMs >= deadMs) {\n",
    replace: "    if (nowMs > Number.MAX_VALUE) {\n",
  },
  {
    name: "bytes are released twice from the flight",
    file: ledger,
    search: "    this.flight.acknowledged(bytes);\n",
    replace:
      "    this.flight.acknowledged(bytes);\n    if (this.acknowledgedCount % 5 === 0) this.flight.acknowledged(bytes);\n",
  },
  {
    name: "what is kept of a session stays when it leaves its rest",
    file: sessionLife,
    search: "driver.attach(wanted) ? wanted",
    replace: "wanted === undefined || driver.attach(wanted) ? wanted",
  },
  {
    name: "a session that has its link again is kept as one without",
    file: sessionLife,
    search: "    else sleep.forget(agent.id);\n",
    replace: "",
  },
  {
    name: "a session at rest that loses its link is not kept",
    file: sessionLife,
    search: "    if (state !== undefined && !driver.hasLink) sleep.keep(state);\n    else ",
    replace: "    ",
  },
  {
    name: "a relay with something under way lets its pings be answered",
    file: sessionLife,
    search: "    if (state === undefined) sleep.stirs(agent);\n    else ",
    replace: "    ",
  },
  {
    name: "messages that came are counted once more after a rest",
    file: sessionLife,
    search: "{ peerWindow, peerStreams, tripMs, rest });",
    replace: "{ peerWindow, peerStreams, tripMs, rest: { ...rest, received: rest.received + 1 } });",
  },
  {
    name: "one message less was sent after a rest",
    file: sessionLife,
    search: "{ peerWindow, peerStreams, tripMs, rest });",
    replace: "{ peerWindow, peerStreams, tripMs, rest: { ...rest, sent: Math.max(0, rest.sent - 1) } });",
  },
  {
    name: "ids begin anew after a rest",
    file: sessionLife,
    search: "{ peerWindow, peerStreams, tripMs, rest });",
    replace: "{ peerWindow, peerStreams, tripMs, rest: { ...rest, nextId: 2 } });",
  },
  {
    name: "attempts begin anew after a rest",
    file: sessionLife,
    search: "claims, attempt, generation, rest },",
    replace: "claims, attempt: 0, generation, rest },",
  },
  {
    name: "a session rests while it waits for an acknowledgement",
    file: session,
    search: " && this.ledger.settled;",
    replace: ";",
  },
  {
    name: "an agent is not told that its session has ended with the process",
    file: reception,
    search: 'refuseLink(link, "session-gone", this.count());',
    replace: "this.count();",
  },
];
