import type { Code } from "../errors.ts";
import { frameHeaderBytes, type MessageWriter, RecordType } from "./frame.ts";
import { limits } from "./limits.ts";
import type { Memory } from "./memory.ts";
import { type Item, SendQueue } from "./send-queue.ts";
import { type StreamHandler, type StreamHost, silentHandler as silent } from "./stream-handler.ts";

export type { StreamHandler, StreamHost };

const nothing = new Uint8Array(0);
const endItem: Item = { type: RecordType.end, bytes: nothing };
const leftItem: Item = { type: RecordType.left, bytes: nothing };
/** A piece of DATA is no smaller, unless it is all there is: crumbs would eat credit. */
const minPieceBytes = 1_024;
const maxPayloadBytes = limits.maxMessageBytes - frameHeaderBytes;

/** One visitor exchange inside a session, both ways. Made by Session only. */
export class Stream {
  handler: StreamHandler;
  /** No event comes after this is true, and nothing more is sent but what `end` and `reset` promised. */
  closed = false;
  /** Told once it is. It may not throw, and opens nothing. */
  whenClosed: (() => void) | undefined;
  /** END has been written. Session's own. */
  ended = false;

  /** In the session's turn queue. Session's own. */
  inTurn = false;
  /** Waits for a CREDIT record. Session's own. */
  creditWaits = false;
  /** The OPEN has left (or came from the peer). Session's own. */
  announced: boolean;

  private readonly items: SendQueue;
  private offset = 0;
  private limit: number;
  private full = false;
  /** Of a turn that a message's end cut. */
  private turnLeft = 0;
  private ending = false;
  private leaving = false;
  private peerLeft = false;
  private endReceived = false;
  private lastReset: Code | undefined;

  private received = 0;
  private granted: number;
  private readonly firstWindow: number;
  private heldBytes = 0;
  private heldCost = 0;
  private released = 0;
  /** What the window has shrunk by and the peer may still send. */
  private excess = 0;
  private epochMs: number;
  private epochReleased = 0;

  /**
   * `opening`: kind and head fields when this side opens it. `sendWindow`: the peer's first window; `window`: ours,
   * which is already reserved.
   */
  constructor(
    private readonly host: StreamHost,
    readonly id: number,
    readonly kind: number,
    handler: StreamHandler,
    sendWindow: number,
    public window: number,
    nowMs: number,
    opening?: Uint8Array,
  ) {
    this.handler = handler;
    this.items = new SendQueue(host.options.memory);
    this.limit = sendWindow;
    this.granted = window;
    this.firstWindow = window;
    this.epochMs = nowMs;
    this.announced = opening === undefined;
    if (opening === undefined) return;
    this.items.push({ type: RecordType.open, bytes: opening });
  }

  /** DATA bytes that wait to be sent. */
  get queued(): number {
    return this.items.dataBytes;
  }

  /** Queues a HEAD frame. Throws RangeError when the fields are larger than a frame may carry. */
  head(fields: Uint8Array): void {
    if (fields.length > limits.maxHeadFieldsBytes)
      throw new RangeError("head fields are too large for a frame");
    if (this.closed || this.ending) return;
    this.items.push({ type: RecordType.head, bytes: fields });
    this.host.ready(this);
  }

  /** Queues DATA, which must not change after. false: above the high mark; stop the source until `writable`. */
  write(bytes: Uint8Array): boolean {
    if (this.closed || this.ending) return true;
    if (bytes.length > 0) {
      this.items.pushData(bytes);
      this.host.ready(this);
    }
    return this.takesMore();
  }

  /** As `write`, of bytes that nobody else looks at any more: a large buffer of their own is freed when they have left. */
  give(bytes: Uint8Array): boolean {
    const { buffer, length } = bytes;
    if (length <= limits.maxMessageBytes || length < buffer.byteLength || this.closed || this.ending)
      return this.write(bytes);
    this.items.push({ type: RecordType.data, bytes, ...(buffer instanceof ArrayBuffer && { buffer }) });
    this.host.ready(this);
    return this.takesMore();
  }

  private takesMore(): boolean {
    const { isScarce } = this.host.options.memory;
    if (this.items.cost > (isScarce ? limits.scarceQueueHighBytes : limits.streamQueueHighBytes))
      this.full = true;
    return !this.full;
  }

  /** END after what is queued. Idempotent. */
  end(): void {
    if (this.closed || this.ending) return;
    this.ending = true;
    this.items.push(endItem);
    this.host.ready(this);
  }

  /** After `end`: the visitor has closed his sending side. He may be gone, or wait for his answer: the origin decides. */
  left(): void {
    if (this.closed || !this.ending || this.leaving) return;
    this.leaving = true;
    this.items.push(leftItem);
    this.host.ready(this);
  }

  /**
   * Ends both directions; queued data is dropped. `no-error` after `end()` waits until all of that has been sent; as in
   * TCP, what came before one side broke off goes first as far as the peer has given credit for it.
   */
  reset(code: Code): void {
    if (this.closed) return;
    const isBreak = this.kind === limits.bytesKind && (code === "origin-closed" || code === "cancelled");
    if (!(code === "no-error" ? this.ending && !this.ended : isBreak && this.announced && this.sendable))
      return this.host.close(this, code);
    this.ending = true;
    this.lastReset = code;
    // The peer may need credit to reach its own end, so what comes is let go, and not just left alone.
    this.handler = { ...silent, data: () => this.held(0) };
    this.held(0);
  }

  /**
   * Queues a datagram of at most 65,507 bytes, which must not change after. It is dropped rather than delayed. false: it
   * was dropped at once, as the session has no link (or the stream is over).
   */
  datagram(payload: Uint8Array): boolean {
    return !this.closed && !this.ending && this.host.sendDatagram(this, payload);
  }

  /** How many delivered DATA bytes are still in the handler's hands. What has left becomes credit for the peer. */
  held(bytes: number): void {
    // Which frames the rest belongs to is not known, so their cost goes in proportion.
    this.heldCost = bytes === 0 ? 0 : Math.ceil((this.heldCost * bytes) / Math.max(this.heldBytes, bytes));
    this.heldBytes = bytes;
    this.release(this.received - bytes - this.heldCost);
  }

  private release(offset: number): void {
    if (offset > this.released) this.released = offset;
    if (!this.creditWaits && !this.endReceived && !this.closed && this.creditDue) this.host.credit(this);
  }

  // What follows is called by the session.

  /** After the loss of a link: the peer may not know all of what it may send. */
  get wantsCredit(): boolean {
    return !this.endReceived && (this.granted > this.firstWindow || this.creditDue);
  }

  /** Enough has been released since the last grant to be worth a CREDIT entry. */
  get creditDue(): boolean {
    return this.released + this.window - this.granted >= this.window >> 2;
  }

  /** More came than fits a window that has grown: it tells what such a stream needs. */
  get isBulk(): boolean {
    return this.released > this.window && this.window > this.firstWindow;
  }

  /** What is reserved above the first window. */
  get grownBytes(): number {
    return this.window + this.excess - this.firstWindow;
  }

  /**
   * The new limit for the peer. The window grows when the reader drains it faster than round trips, and shrinks when
   * memory is tight: what was granted stands, so that is done by withholding. `lately`: the window that
   * a stream of this session has needed, where the road is long: one that is as quick has it in one step.
   */
  grant(nowMs: number, tripMs: number, memory: Memory, lately?: number): number {
    const share = (this.released - this.epochReleased) / this.window;
    if (share >= 0.5) {
      const quick = nowMs - this.epochMs < 4 * tripMs * share;
      if (memory.tight) this.shrink();
      else if (quick) this.grow(memory, lately);
      this.epochMs = nowMs;
      this.epochReleased = this.released;
    }
    this.granted = Math.max(this.granted, this.released + this.window);
    if (this.excess > 0 && this.granted === this.released + this.window) {
      memory.shrink(this.excess);
      this.excess = 0;
    }
    return this.granted;
  }

  private grow(memory: Memory, lately: number | undefined): void {
    // In large steps at first where each takes a long round trip; later they would be far more than is needed.
    const hurries = lately !== undefined && memory.ample;
    const step = hurries && this.window < limits.largeWindowBytes ? 4 : 2;
    const wanted = Math.max(this.window * step, hurries ? lately : 0);
    const window = Math.min(memory.bounds.maxWindowBytes, wanted);
    if (window > this.window && memory.grow(window - this.window)) this.window = window;
  }

  private shrink(): void {
    // One shrinking at a time: it takes until the peer has used what it was granted.
    if (this.excess > 0 || this.window <= this.firstWindow) return;
    this.excess = this.window / 2;
    this.window /= 2;
  }

  /** A CREDIT entry came. */
  raise(limit: number): void {
    if (limit <= this.limit) return;
    this.limit = limit;
    if (this.sendable) this.host.ready(this);
  }

  get sendable(): boolean {
    const item = this.items.peek();
    if (item === undefined) return false;
    const room = this.limit - this.offset - limits.frameCost;
    if (item.type === RecordType.end || item.type === RecordType.left) return true;
    return (
      room >= (item.type === RecordType.data ? Math.min(item.bytes.length, minPieceBytes) : item.bytes.length)
    );
  }

  /** Kept here to be sent. */
  get heldForPeer(): number {
    return this.items.heldBytes;
  }

  /** What the writer needs for all that waits here. */
  get waitingBytes(): number {
    return this.items.bytes + this.items.length * (frameHeaderBytes + 1);
  }

  /**
   * Writes at most `turnBytes` of this stream's frames. false: the message is full, and the turn is not used up.
   * Frames other than DATA are never split.
   */
  fill(writer: MessageWriter, turnBytes: number): boolean {
    let left = this.turnLeft > 0 ? this.turnLeft : turnBytes;
    this.turnLeft = 0;
    while (left > 0 && this.sendable) {
      const item = this.items.peek();
      if (item === undefined) break;
      if (item.type === RecordType.data) {
        // The rest of a turn is no crumb of its own: one in each message of a bulk stream cost a relay 6 % (measured).
        if (left < Math.min(item.bytes.length, minPieceBytes)) break;
        const room = Math.min(
          writer.room - frameHeaderBytes,
          this.limit - this.offset - limits.frameCost,
          left,
          maxPayloadBytes,
        );
        if (room < Math.min(item.bytes.length, minPieceBytes)) {
          // The message is full. A long turn ends with it, as its rest would be one more small write to somebody's socket.
          if (turnBytes - left >= limits.turnBytes) break;
          return this.cutOff(left);
        }
        left -= this.sendData(item, room, writer);
        continue;
      }
      if (writer.room < item.bytes.length + frameHeaderBytes + 8) return this.cutOff(left);
      this.items.shift();
      left -= item.bytes.length + limits.frameCost;
      this.sendWhole(item, writer);
      if (this.closed) return true;
    }
    if (this.lastReset !== undefined && this.lastReset !== "no-error" && !this.sendable)
      this.host.close(this, this.lastReset);
    const { isScarce } = this.host.options.memory;
    if (this.full && this.items.cost < (isScarce ? limits.scarceQueueLowBytes : limits.streamQueueLowBytes)) {
      this.full = false;
      this.handler.writable();
    }
    return true;
  }

  /** The message is full: the rest of the turn comes first in the next one. */
  private cutOff(left: number): false {
    this.turnLeft = left;
    return false;
  }

  private sendData(item: Item, room: number, writer: MessageWriter): number {
    const length = Math.min(item.bytes.length, room);
    const isWhole = length === item.bytes.length;
    writer.frame(RecordType.data, this.id, isWhole ? item.bytes : item.bytes.subarray(0, room));
    if (isWhole) this.items.shift();
    else this.items.cut(item, room);
    this.offset += length + limits.frameCost;
    return length;
  }

  private sendWhole(item: Item, writer: MessageWriter): void {
    if (item.type === RecordType.end) {
      writer.frame(RecordType.end, this.id);
      this.ended = true;
      if (this.lastReset !== undefined && !this.endReceived) this.host.close(this, this.lastReset);
      else if (this.endReceived) this.host.close(this);
      return;
    }
    if (item.type === RecordType.left) return writer.frame(RecordType.left, this.id);
    this.offset += item.bytes.length + limits.frameCost;
    if (item.type === RecordType.open) {
      writer.open(this.id, this.kind, item.bytes);
      this.announced = true;
      this.host.announced(this);
    } else {
      writer.frame(item.type, this.id, item.bytes);
    }
  }

  get peerEnded(): boolean {
    return this.endReceived;
  }

  /** A HEAD, DATA or END came, in a direction that has not ended. Returns a session error. */
  receive(type: number, payload: Uint8Array): Code | undefined {
    if (type === RecordType.end) {
      this.endReceived = true;
      this.handler.end();
      if (!this.closed && this.ended) this.host.close(this);
      return undefined;
    }
    const fault = this.charge(payload.length);
    if (fault !== undefined) return fault;
    if (type === RecordType.head) {
      this.release(this.received - this.heldBytes - this.heldCost);
      this.handler.head(payload);
    } else {
      this.heldBytes += payload.length;
      this.heldCost += limits.frameCost;
      this.handler.data(payload);
    }
    return undefined;
  }

  /** A LEFT came. Before the END, or again, it says nothing. */
  receiveLeft(): void {
    if (!this.endReceived || this.peerLeft) return;
    this.peerLeft = true;
    this.handler.left();
  }

  /** Counts a frame of `length` bytes against what the peer may send. */
  charge(length: number): Code | undefined {
    this.received += length + limits.frameCost;
    return this.received > this.granted ? "flow-control-error" : undefined;
  }

  /** The OPEN's head has been handed over. */
  opened(): void {
    this.release(this.received);
  }

  /** Resets for the peer's fault, and says so to the handler. */
  fail(code: Code): void {
    const { handler } = this;
    this.host.close(this, code);
    handler.reset(code);
  }

  /** The session frees it. */
  drop(): void {
    this.closed = true;
    this.items.clear();
    this.handler = silent;
    this.whenClosed?.();
  }
}
