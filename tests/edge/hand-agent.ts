import { type Hello, readWelcome, type Welcome, writeHello } from "../../shared/handshake.ts";
import { pingText, pongText } from "../../shared/liveness.ts";
import { prove } from "../../shared/proof.ts";
import type { Relay } from "../blackbox/programs/relay.ts";
import { opcodes, RawWebSocket, type WebSocketFrame } from "../blackbox/raw/websocket.ts";
import { decodeMessage, encodeMessage, type OracleRecord } from "../oracle/codec.ts";

export interface HandAgentOptions {
  readonly name: string;
  readonly token: string;
  /** Of the path: the session that is to be resumed. */
  readonly session?: string;
}

/** What a hand-made session needs to be resumed. */
export interface HandSession {
  readonly id: string;
  readonly secret: string;
  readonly received: number;
}

export type Greeting = Partial<Pick<Hello, "instance" | "slot" | "attempt" | "join">> & {
  readonly resume?: HandSession;
};

const defaultInstance = "made-by-hand-123";

/** An agent's side of one link to a relay, message by message: nothing is answered, acknowledged or dialled by itself. */
export class HandAgent {
  /** Counted messages that came. */
  received = 0;

  private constructor(private readonly socket: RawWebSocket) {}

  /** An open link on which nothing was said. */
  static async dial(relay: Relay, { name, token, session }: HandAgentOptions): Promise<HandAgent> {
    const socket = await RawWebSocket.connect(
      { port: relay.port, host: `127.0.0.1:${relay.port}` },
      {
        path: `/_underpass/links/${name}${session === undefined ? "" : `/${session}`}`,
        fields: [`Authorization: Bearer ${token}`, "Sec-WebSocket-Protocol: underpass.1"],
      },
    );
    if (socket.head.status !== 101) throw new Error(socket.head.start);
    return new HandAgent(socket);
  }

  /** Dials, says HELLO, and after WELCOME asks for a sign of life, as agents do, so that the relay knows it was read. */
  static async join(
    relay: Relay,
    options: HandAgentOptions,
    greeting: Greeting = {},
  ): Promise<{ readonly agent: HandAgent; readonly welcome: Welcome }> {
    const agent = await HandAgent.dial(relay, options);
    const welcome = await agent.greet(greeting);
    await agent.ping();
    await agent.pong();
    return { agent, welcome };
  }

  async greet({
    instance = defaultInstance,
    slot = 0,
    attempt = 1,
    join,
    resume,
  }: Greeting): Promise<Welcome> {
    const received = resume?.received ?? 0;
    const hello: Hello = {
      ...{ version: 1, features: [], kind: "http", window: 65_536, streams: 16 },
      ...{ instance, slot, attempt, received },
      ...(join !== undefined && { join }),
      ...(resume !== undefined && {
        resume: {
          session: resume.id,
          proof: prove(resume.secret, { session: resume.id, attempt, received }),
        },
      }),
    };
    await this.socket.send(opcodes.binary, writeHello(hello));
    const read = readWelcome((await this.binary()).payload);
    if (read.kind !== "ok") throw new Error(`no WELCOME but ${read.kind}`);
    return read.value;
  }

  say(...records: OracleRecord[]): Promise<void> {
    return this.socket.send(opcodes.binary, encodeMessage(records));
  }

  ping(): Promise<void> {
    return this.socket.send(opcodes.text, pingText);
  }

  /** The next that comes is a pong. */
  async pong(): Promise<void> {
    const { opcode, payload } = await this.socket.frame();
    const text = Buffer.from(payload).toString();
    if (opcode !== opcodes.text || text !== pongText) throw new Error(`no pong, but ${opcode} ${text}`);
  }

  /** The records of the next message. */
  async records(): Promise<OracleRecord[]> {
    const { counted, records } = decodeMessage((await this.binary()).payload);
    if (counted) this.received++;
    return records;
  }

  /** The close code, which must come next. */
  async closed(): Promise<number> {
    const { opcode, payload } = await this.socket.frame();
    if (opcode !== opcodes.close) throw new Error(`no close, but opcode ${opcode}`);
    return Buffer.from(payload).readUInt16BE();
  }

  /** Cuts the link, as a network would. */
  cut(): void {
    this.socket.wire.abort();
  }

  close(): void {
    this.socket.close();
  }

  private async binary(): Promise<WebSocketFrame> {
    const frame = await this.socket.frame();
    if (frame.opcode !== opcodes.binary) throw new Error(`no message, but opcode ${frame.opcode}`);
    return frame;
  }
}
