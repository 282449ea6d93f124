/** Counted messages: how they are numbered, acknowledged, kept, and sent again. Sections 2, 3.1 and 5 of PROTOCOL.md. */
import { fromHex, toHex } from "./bytes.ts";
import { decodeMessage, framesOf, isFrame, type OracleMessage, type OracleRecord } from "./codec.ts";
import type { GoawayCode } from "./codes.ts";

/** What HELLO and WELCOME of a resume said, as one side knows it. */
export interface OracleResumption {
  /** The peer's `received`. */
  peerReceived: number;
  /** This side's own `received`, as it was said. */
  told: number;
  /** `first` of WELCOME: received by the agent, said by the relay. */
  first: number;
}

export class OracleNumbers {
  /** Counted messages, each way. */
  received = 0;
  sent = 0;
  /** The highest ACK each way. */
  ackedByPeer = 0;
  ackedByMe = 0;
  /** The frames of each message of this side that the peer has not acknowledged, by number. Hex. */
  private readonly kept = new Map<number, string>();
  /** Numbers of the latest counted message each way on the present link. */
  private arrived = 0;
  private handed = 0;

  constructor(private readonly side: "agent" | "relay") {}

  /** The number of the message that must be sent again next. */
  get nextAgain(): number | undefined {
    return this.handed < this.sent ? this.handed + 1 : undefined;
  }

  /** Throws when this side has said what it may not; tells the code to refuse the peer with, if that has. */
  resume({ peerReceived, told, first }: OracleResumption): GoawayCode | undefined {
    if (peerReceived > this.sent) return "protocol-error";
    if (this.side === "agent") {
      if (told > this.received) throw new Error("the agent has told more than it received");
      // An ACK on the old link may have overtaken the HELLO, never a WELCOME, whose count was fixed after it.
      if (peerReceived < this.ackedByPeer) return "protocol-error";
      if (first < told + 1 || first > this.received + 1) return "protocol-error";
    } else {
      if (told !== this.received) throw new Error("the relay has not told its own count");
      if (first !== Math.max(peerReceived, this.ackedByPeer) + 1)
        throw new Error("the relay has not told where its messages begin");
    }
    this.acknowledge(peerReceived);
    this.handed = this.ackedByPeer;
    this.arrived = this.side === "agent" ? first - 1 : told;
    this.ackedByMe = this.arrived;
    return undefined;
  }

  /** Numbers what came. Of a message that came before, on another link, only the control records are read. */
  receive(message: OracleMessage): OracleMessage {
    if (!message.counted) return message;
    this.arrived++;
    if (this.arrived > this.received) {
      this.received = this.arrived;
      return message;
    }
    return { counted: true, records: message.records.filter((record) => !isFrame(record)) };
  }

  /** The peer has all up to `count`. */
  acknowledge(count: number): void {
    for (let number = this.ackedByPeer + 1; number <= count; number++) this.kept.delete(number);
    this.ackedByPeer = Math.max(this.ackedByPeer, count);
    this.handed = Math.max(this.handed, count);
  }

  /** A new counted message of this side. */
  keep(bytes: Uint8Array): void {
    this.sent++;
    this.handed = this.sent;
    this.kept.set(this.sent, toHex(framesOf(bytes)));
  }

  /** "Each kept message above the other's count, in order, its frames unchanged and without control records." */
  checkAgain(bytes: Uint8Array, records: OracleRecord[]): void {
    this.handed++;
    if (records.some((record) => !isFrame(record)))
      throw new Error(`message ${this.handed} is sent again with control records`);
    if (toHex(bytes) !== this.kept.get(this.handed))
      throw new Error(`message ${this.handed} is not sent again as it was`);
  }

  /** Whether the OPEN of this stream is in a message that must be sent again. */
  opensAgain(stream: number): boolean {
    for (const [number, frames] of this.kept) {
      if (number <= this.handed) continue;
      const { records } = decodeMessage(fromHex(frames));
      if (records.some((record) => record.record === "OPEN" && record.stream === stream)) return true;
    }
    return false;
  }

  clear(): void {
    this.kept.clear();
  }
}
