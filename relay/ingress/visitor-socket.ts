import type { Clock } from "../../shared/clock.ts";
import { type Code, codes } from "../../shared/errors.ts";
import { closeQuietly, type MessageSocket } from "../../shared/links/message-socket.ts";
import type { Memory } from "../../shared/mux/memory.ts";
import { Queue } from "../../shared/mux/queue.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import {
  closePayload,
  encodeFrame,
  encodeHeader,
  isCloseCode,
  type Opcode,
  opcodes,
} from "../../shared/websocket/frame.ts";
import { FrameReader } from "../../shared/websocket/frame-reader.ts";
import { applyMask } from "../../shared/websocket/mask.ts";

const socketLimits = {
  /** Either way. The platform's own limit is 32 MiB. */
  maxMessageBytes: 16_777_216,
  /** The platform can't pause a visitor: one that is so far ahead of his credit is closed with 1013. */
  maxBacklogBytes: 20_971_520,
  /** So much may wait of each, either way, whatever others hold; more only while there is room for it. */
  shareBytes: 8_192,
  /** A message that the platform holds costs it so much beside its bytes. */
  heldMessageBytes: 256,
  /** Larger ones are masked where they lie. */
  copyBelowBytes: 16_384,
  /** While the platform holds bytes for a slow visitor, it is asked so often whether they have gone. */
  drainPollMs: 10,
  /** The same once the socket is closed. */
  lastPollMs: 1_000,
  lastPolls: 60,
  /** An origin that does not answer a close in this time is cut off. */
  closeWithinMs: 10_000,
} as const;

/** What a visitor's WebSocket needs of its ingress. */
export interface VisitorSocketSide {
  readonly clock: Clock;
  readonly memory: Memory;
}

/** What a visitor's WebSocket tells its exchange. */
export interface VisitorSocketEnds {
  sent(bytes: number): void;
  received(bytes: number): void;
  /** Both directions are over. Once. */
  over(): void;
}

/**
 * A visitor's WebSocket where the platform gives whole messages: they go to the origin as masked RFC 6455 frames, and
 * the origin's frames come back as messages. Pings of the origin are answered here.
 */
export class VisitorSocket implements StreamHandler {
  private readonly reader: FrameReader;
  private readonly encoder = new TextEncoder();
  private state: "open" | "closing" | "over" = "open";
  private polling = false;
  /** Looks at what is left, since it is over. */
  private lastPolls = 0;
  /** The platform has told that the socket is over. */
  private gone = false;
  /** Lengths of the messages that the platform may still hold, and their sum. */
  private readonly sent = new Queue<number>();
  private sentBytes = 0;
  /** What is counted of it: on credit, and beside. */
  private onCredit = 0;
  private beside = 0;
  /** A message found no room. */
  private short = false;
  private cancelCut: (() => void) | undefined;

  constructor(
    private readonly socket: MessageSocket,
    private readonly stream: Stream,
    private readonly side: VisitorSocketSide,
    private readonly ends: VisitorSocketEnds,
  ) {
    const most = socketLimits.maxMessageBytes;
    this.reader = new FrameReader(
      {
        ...{ masked: false, maxMessageBytes: most, maxTextBytes: most },
        hasRoom: (bytes) => !(this.short = bytes > socketLimits.shareBytes && !side.memory.hasRoom(bytes)),
      },
      {
        message: (bytes) => this.deliver(bytes),
        text: (text) => this.deliver(text),
        ping: (payload) => this.toOrigin(opcodes.pong, payload),
        pong: () => {},
        closeFrame: (code, reason) => this.originCloses(code, reason),
        failed: (code, reason) => this.giveUp(code, reason, this.short ? 1013 : 1011),
      },
    );
    socket.binaryType = "arraybuffer";
    socket.addEventListener("message", ({ data }) => this.visitorSays(data));
    const over = (code: number, reason: string) => {
      this.gone = true;
      this.visitorCloses(code, reason);
      this.weigh();
    };
    socket.addEventListener("close", ({ code, reason }) => over(code, reason));
    socket.addEventListener("error", () => over(1006, ""));
  }

  // What comes from the agent.

  head(): void {
    this.fault();
  }

  data(bytes: Uint8Array): void {
    this.ends.sent(bytes.length);
    this.reader.push(bytes);
    this.tellHeld();
  }

  end(): void {
    // Without a close frame before it, the origin broke off.
    if (this.state === "open") this.closeVisitor(1011, "");
    this.finish();
  }

  left(): void {}

  reset(code: Code): void {
    if (this.state === "open") this.closeVisitor(codes[code].close ?? 1011, code);
    this.finish();
  }

  writable(): void {}

  // What comes from the visitor.

  private visitorSays(data: unknown): void {
    if (this.state !== "open") return;
    const text = typeof data === "string";
    const bytes = text ? this.encoder.encode(data) : new Uint8Array(data as ArrayBuffer);
    this.ends.received(bytes.length);
    if (bytes.length > socketLimits.maxMessageBytes)
      return this.giveUp(1009, "The message is too big.", 1009);
    if (!this.mayWait(bytes.length)) return this.giveUp(1001, "", 1013, "The service reads too slowly.");
    this.toOrigin(text ? opcodes.text : opcodes.binary, bytes);
  }

  private mayWait(bytes: number): boolean {
    const waiting = this.stream.queued + bytes;
    if (waiting <= socketLimits.shareBytes) return true;
    return waiting <= socketLimits.maxBacklogBytes && this.side.memory.hasRoom(bytes);
  }

  private visitorCloses(code: number, reason: string): void {
    if (this.state !== "open") return;
    closeQuietly(this.socket, code, reason);
    if (code === 1006) {
      this.stream.reset("cancelled");
      this.finish();
      return;
    }
    this.state = "closing";
    // Platforms pass on codes that must not stand in a frame (RFC 6455 section 7.4): a fault of the visitor's.
    const known = code === 1005 || isCloseCode(code);
    this.toOrigin(opcodes.close, known ? closePayload(code, reason) : closePayload(1002, ""));
    this.cutLater();
  }

  // Both

  private originCloses(code: number, reason: string): void {
    if (this.state === "open") {
      this.closeVisitor(code, reason);
      this.toOrigin(opcodes.close, closePayload(code, ""));
    }
    this.stream.end();
  }

  /** Ends it for a fault of either: the origin is told `code`, the visitor `visitorCode`. */
  private giveUp(code: number, reason: string, visitorCode: number, visitorReason = reason): void {
    if (this.state !== "open") return;
    this.closeVisitor(visitorCode, visitorReason);
    this.toOrigin(opcodes.close, closePayload(code, reason));
    this.stream.end();
    this.cutLater();
  }

  private toOrigin(opcode: Opcode, payload: Uint8Array): void {
    // RFC 6455 section 5.3: fresh and unpredictable for each frame.
    const [key = 0] = crypto.getRandomValues(new Uint32Array(1));
    if (payload.length < socketLimits.copyBelowBytes) {
      this.stream.write(encodeFrame(opcode, payload, key));
      return;
    }
    this.stream.write(encodeHeader(opcode, payload.length, key));
    applyMask(payload, key);
    this.stream.write(payload);
  }

  private deliver(message: Uint8Array | string): void {
    if (this.state !== "open") return;
    try {
      // The platform queues the whole buffer that a view belongs to.
      const isView = typeof message !== "string" && message.length < message.buffer.byteLength;
      this.socket.send((isView ? message.slice() : message) as Uint8Array<ArrayBuffer> | string);
      this.sent.push(message.length);
      this.sentBytes += message.length;
    } catch {
      // The visitor has gone, and the event that tells it is on its way.
    }
  }

  private closeVisitor(code: number, reason: string): void {
    this.state = "closing";
    closeQuietly(this.socket, isCloseCode(code) ? code : 1005, reason);
  }

  /** What the platform still holds for the visitor is not given back as credit, where it tells. */
  private tellHeld(): void {
    const held = this.weigh();
    // A large message leaves all at once, after its stream's bytes were credited piece by piece.
    this.stream.held(Math.min(held, this.stream.window));
    const { memory } = this.side;
    if (this.state === "open" && memory.isScarce && this.unpaidBytes(held) > socketLimits.shareBytes)
      this.giveUp(1001, "", 1013, "The relay has no room for more.");
    if (held === 0 || this.polling) return;
    this.polling = true;
    const { drainPollMs, lastPollMs, lastPolls } = socketLimits;
    // One that stands still must not keep this side awake for ever.
    if (this.state === "over" && ++this.lastPolls > lastPolls) this.gone = true;
    const { clock } = this.side;
    clock.at(clock.now() + (this.state === "open" ? drainPollMs : lastPollMs), () => {
      this.polling = false;
      this.tellHeld();
    });
  }

  /** Counts what is held. Returns what the platform holds for the visitor, where it tells. */
  private weigh(): number {
    const held = this.gone ? 0 : (this.socket.bufferedAmount ?? 0);
    this.forgetSent(held);
    const onCredit = Math.min(held, this.stream.window);
    const beside = this.unpaidBytes(held) + this.reader.heldBytes;
    const { memory } = this.side;
    memory.onCredit.add(onCredit - this.onCredit);
    memory.beside.add(beside - this.beside);
    this.onCredit = onCredit;
    this.beside = beside;
    return held;
  }

  /** What the platform holds is the end of what was sent: messages before that have left. */
  private forgetSent(held: number): void {
    const { sent } = this;
    for (let first = sent.peek(); first !== undefined; first = sent.peek()) {
      if (held > 0 && this.sentBytes - first < held) return;
      sent.shift();
      this.sentBytes -= first;
    }
  }

  /** What the platform holds and no credit stands for. */
  private unpaidBytes(held: number): number {
    return Math.max(0, held - this.stream.window) + this.sent.length * socketLimits.heldMessageBytes;
  }

  private fault(): void {
    this.stream.reset("head-invalid");
    if (this.state === "open") this.closeVisitor(1011, "");
    this.finish();
  }

  /** An origin that never ends its side would hold the stream for ever. */
  private cutLater(): void {
    const { clock } = this.side;
    this.cancelCut = clock.at(clock.now() + socketLimits.closeWithinMs, () => {
      this.stream.reset("cancelled");
      this.finish();
    });
  }

  private finish(): void {
    if (this.state === "over") return;
    this.state = "over";
    this.cancelCut?.();
    this.reader.stop();
    this.stream.end();
    this.ends.over();
    this.tellHeld();
  }
}
