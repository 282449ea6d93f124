/**
 * Every code that a person or a program can meet, in one table: what it means, whether trying again can help, and
 * what it becomes on the wire, in HTTP, as a WebSocket close code and as an exit code. The docs' table is made from it.
 */
export interface CodeFacts {
  /** What happened, and what to do about it. One sentence for a person. */
  readonly meaning: string;
  /** The number in RESET and GOAWAY records (PROTOCOL.md); absent where the code never crosses the wire. */
  readonly wire?: number;
  /** Fatal for an agent: time does not cure it, so it is not retried. */
  readonly fatal: boolean;
  /** What a visitor, or an agent that dials, gets as HTTP status. */
  readonly status?: number;
  /** The WebSocket close code of a link that ends with it (RFC 6455 section 7.4). */
  readonly close?: number;
  /** The agent's exit code when it is fatal. */
  readonly exit?: number;
}

const table = {
  // Streams end with these (RESET).
  "no-error": {
    wire: 0,
    fatal: false,
    meaning: "The exchange is complete; what is left of the other direction is not wanted.",
  },
  cancelled: { wire: 1, fatal: false, meaning: "The visitor, or whoever opened the stream, went away." },
  "origin-refused": {
    wire: 2,
    fatal: false,
    status: 502,
    meaning: "Nothing listens at the origin's address. Start the service, or correct the port.",
  },
  "origin-closed": {
    wire: 3,
    fatal: false,
    status: 502,
    meaning: "The origin closed its socket before its answer was complete.",
  },
  "origin-invalid": {
    wire: 4,
    fatal: false,
    status: 502,
    meaning: "The origin answered with something that is not valid HTTP/1.1.",
  },
  "origin-timeout": {
    wire: 5,
    fatal: false,
    status: 504,
    meaning: "The origin did not accept, or did not answer, in time.",
  },
  "stream-state": {
    wire: 6,
    fatal: false,
    status: 502,
    meaning: "A frame came that the stream's state does not allow.",
  },
  "head-invalid": {
    wire: 7,
    fatal: false,
    status: 502,
    meaning: "A head could not be understood, or has a mandatory field that is unknown.",
  },
  "kind-unknown": { wire: 8, fatal: false, status: 502, meaning: "The stream's kind is not served here." },
  "too-many-streams": {
    wire: 9,
    fatal: false,
    status: 503,
    meaning:
      "The session has as many open streams as were agreed, or a relay on Workers as many sockets as it may have.",
  },
  "frame-unknown": {
    wire: 10,
    fatal: false,
    status: 502,
    meaning: "A mandatory frame type that this side does not know.",
  },
  "link-lost": {
    wire: 11,
    fatal: false,
    status: 502,
    meaning: "The link to the agent was lost while the exchange was open.",
  },
  "stream-failed": {
    wire: 12,
    fatal: false,
    status: 502,
    meaning: "The exchange failed inside the tunnel; the log of that side says why.",
  },
  "origin-unreachable": {
    wire: 13,
    fatal: false,
    status: 502,
    meaning: "There is no way to the destination's address: no route, or the network is down.",
  },
  "origin-not-found": {
    wire: 14,
    fatal: false,
    status: 502,
    meaning: "The destination's name does not resolve.",
  },
  "egress-denied": {
    wire: 15,
    fatal: true,
    status: 403,
    exit: 4,
    meaning: "No grant allows that destination: the token's egress, or the agent's --allow-egress.",
  },
  "agent-offline": {
    wire: 16,
    fatal: false,
    status: 503,
    meaning: "The tunnel is known, but its agent is not here now.",
  },
  "unknown-tunnel": { wire: 17, fatal: false, status: 404, meaning: "No tunnel of that name is known here." },
  "connect-denied": {
    wire: 18,
    fatal: true,
    status: 403,
    exit: 4,
    meaning: "The token does not allow that private tunnel. Make one with `relay token --connect NAME`.",
  },
  // Sessions end with these (GOAWAY, or the link's close).
  "protocol-error": { wire: 32, fatal: false, close: 1002, meaning: "The peer broke a rule of PROTOCOL.md." },
  "flow-control-error": {
    wire: 33,
    fatal: false,
    close: 1002,
    meaning: "The peer sent more than its credit allows.",
  },
  "message-too-big": {
    wire: 34,
    fatal: false,
    close: 1009,
    meaning: "A message, a record or a head is larger than allowed.",
  },
  "record-unknown": {
    wire: 35,
    fatal: false,
    close: 1002,
    meaning: "A mandatory control record that this side does not know.",
  },
  "too-many-resets": {
    wire: 36,
    fatal: false,
    close: 1008,
    meaning: "Streams were opened and reset faster than allowed.",
  },
  "version-unsupported": {
    wire: 37,
    fatal: true,
    status: 426,
    close: 1002,
    exit: 1,
    meaning: "The relay and the agent share no protocol version. Update the older one.",
  },
  "handshake-timeout": {
    wire: 38,
    fatal: false,
    close: 1008,
    meaning: "The link's HELLO or WELCOME did not come in time.",
  },
  "going-away": {
    wire: 39,
    fatal: false,
    status: 503,
    close: 1001,
    meaning: "The relay is stopping or restarting. The agent dials again by itself.",
  },
  goodbye: {
    wire: 40,
    fatal: false,
    close: 1000,
    meaning: "The other side was asked to stop and says goodbye.",
  },
  superseded: {
    wire: 41,
    fatal: true,
    close: 1008,
    exit: 6,
    meaning: "A newer agent took over this name. Give --join to share it, or use another name.",
  },
  "token-expired": {
    wire: 42,
    fatal: true,
    close: 1008,
    exit: 3,
    meaning: "The session's token has expired. Make a new one with `relay token`.",
  },
  "internal-error": {
    wire: 43,
    fatal: false,
    status: 500,
    close: 1011,
    meaning: "A fault on this side; its log says more.",
  },
  "peer-silent": {
    wire: 44,
    fatal: false,
    close: 1001,
    meaning: "Nothing came from the other side for too long.",
  },
  "proof-invalid": {
    wire: 45,
    fatal: false,
    close: 1008,
    meaning: "The session can't be resumed with this proof; the agent begins a new one.",
  },
  "session-gone": {
    wire: 46,
    fatal: false,
    close: 1008,
    meaning: "The relay knows the session no more, and was not to begin a new one.",
  },
  // Never on the wire.
  unprocessed: {
    fatal: false,
    status: 503,
    meaning: "No agent has looked at the request: it can be sent again.",
  },
  // Refusals of a dial.
  unauthorized: {
    fatal: true,
    status: 401,
    exit: 3,
    meaning:
      "The relay does not accept this token. Make one with `relay token --sub YOU` on the relay, and give it by --token-file.",
  },
  "name-forbidden": { fatal: true, status: 403, exit: 4, meaning: "The token does not allow this name." },
  "kind-forbidden": {
    wire: 47,
    fatal: true,
    status: 403,
    close: 1008,
    exit: 4,
    meaning: "The token does not allow this kind of tunnel.",
  },
  "name-taken": {
    wire: 48,
    fatal: true,
    status: 409,
    close: 1008,
    exit: 4,
    meaning: "The name belongs to somebody else. Choose another --name, or none for a random one.",
  },
  "registry-unreachable": {
    wire: 49,
    fatal: false,
    status: 503,
    close: 1013,
    meaning: "The relay can't reach the cluster's registry, so it gives no name away for now. Try again.",
  },
  "session-elsewhere": {
    wire: 50,
    fatal: false,
    status: 503,
    close: 1013,
    meaning: "The session is at another relay that can't be reached from here at the moment. Try again.",
  },
  "name-invalid": {
    fatal: true,
    status: 400,
    exit: 2,
    meaning: "A name is 1 to 63 of a-z, 0-9 and '-', and begins and ends with a letter or digit.",
  },
  "bad-request": {
    fatal: true,
    status: 400,
    exit: 1,
    meaning: "The request is not one that the relay understands.",
  },
  "too-many-links": {
    fatal: false,
    status: 503,
    meaning: "The relay serves as many links as it may. The agent tries again by itself.",
  },
  "not-a-relay": {
    fatal: true,
    exit: 1,
    meaning: "What answers at --relay is not an Underpass relay. Check the URL.",
  },
  "relay-unreachable": { fatal: false, exit: 5, meaning: "The relay could not be reached." },
  "insecure-relay": {
    fatal: true,
    exit: 2,
    meaning: "A token is sent over plain http to this machine only. Use https, or give --insecure.",
  },
  "port-taken": {
    fatal: true,
    status: 409,
    exit: 4,
    meaning:
      "The public port belongs to somebody else or to another program. Choose another --remote-port, or none.",
  },
  "port-forbidden": {
    fatal: true,
    status: 403,
    exit: 4,
    meaning: "The public port is not among those that the relay gives away (--tcp-ports, --udp-ports).",
  },
  "kind-unavailable": {
    fatal: true,
    status: 501,
    exit: 4,
    meaning: "This relay does not offer tunnels of this kind: it was started without what they need.",
  },
  "upgrade-required": {
    fatal: false,
    status: 426,
    meaning:
      "Something between agent and relay took the WebSocket upgrade away. The agent goes on without WebSocket.",
  },
  usage: { fatal: true, exit: 2, meaning: "A command, switch or value is wrong. See --help." },
  "port-in-use": {
    fatal: true,
    exit: 1,
    meaning: "The address to listen on is taken. Choose another --listen, or end what holds it.",
  },
  "data-unwritable": {
    fatal: true,
    exit: 1,
    meaning: "The data folder can't be read or written. Choose another --data.",
  },
  unhealthy: {
    fatal: true,
    exit: 1,
    meaning:
      "`relay health` got no 200 from /healthz. Check that the relay runs, and --listen and --tls-cert.",
  },
  "secret-invalid": { fatal: true, exit: 2, meaning: "The relay's secret must have at least 32 bytes." },
  // What a visitor gets.
  "unknown-host": { fatal: false, status: 421, meaning: "This relay does not serve that host." },
  "agent-elsewhere": {
    wire: 19,
    fatal: false,
    status: 503,
    meaning: "The tunnel's agent is at another relay that can't be reached from here.",
  },
  "request-invalid": { fatal: false, status: 400, meaning: "The request is not valid HTTP/1.1." },
  "request-timeout": { fatal: false, status: 408, meaning: "The request's head did not come in time." },
  "head-too-large": {
    fatal: false,
    status: 431,
    meaning: "The request's head is larger than the relay accepts.",
  },
  "body-too-large": {
    fatal: false,
    status: 413,
    meaning: "The request's body is larger than accepted here.",
  },
  "method-refused": { fatal: false, status: 405, meaning: "The method is not carried by a tunnel." },
  "version-refused": { fatal: false, status: 505, meaning: "Only HTTP/1.0 and HTTP/1.1 are spoken here." },
  "coding-refused": {
    fatal: false,
    status: 501,
    meaning: "The request's transfer coding is not one that is carried.",
  },
  "too-many-requests": { fatal: false, status: 429, meaning: "Too many at once. Try again shortly." },
  "not-found": { fatal: false, status: 404, meaning: "The relay has nothing at this path." },
} as const satisfies Record<string, CodeFacts>;

export type Code = keyof typeof table;

export const codes: Readonly<Record<Code, CodeFacts>> = table;

const byWire = new Map<number, Code>();
for (const code of Object.keys(table) as Code[]) {
  const { wire } = codes[code];
  if (wire !== undefined) byWire.set(wire, code);
}

/** The number of `code` on the wire; a code that has none travels as `stream-failed`. */
export function wireNumber(code: Code): number {
  return codes[code].wire ?? table["stream-failed"].wire;
}

/** The code behind a RESET's number; one that is unknown (from a newer peer) is `stream-failed`. */
export function resetCode(wire: number): Code {
  return (wire < 32 && byWire.get(wire)) || "stream-failed";
}

/** The code behind a GOAWAY's number; one that is unknown is `internal-error`. */
export function goawayCode(wire: number): Code {
  return (wire >= 32 && byWire.get(wire)) || "internal-error";
}

/** An error with a stable code. `message` says what happened and what to do; `cause` keeps what lay beneath. */
export class UnderpassError extends Error {
  override readonly name = "UnderpassError";
  constructor(
    readonly code: Code,
    message: string = codes[code].meaning,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
  get fatal(): boolean {
    return codes[this.code].fatal;
  }
}
