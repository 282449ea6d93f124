import type { Gauge } from "../../shared/mux/gauge.ts";
import { WriteQueue } from "../../shared/runtimes/write-queue.ts";
import type { Socket, SocketHandler } from "../../shared/socket.ts";

/** The most that is asked for at once, and so the most that a paused socket keeps. */
const readBytes = 65_536;

const deaf: SocketHandler = { data() {}, drained() {}, ended() {}, closed() {} };

/**
 * `Socket` over the streams of `connect`. One read and one write are under way at most: a write that has not ended counts
 * as queued, so whoever writes is slowed by the far end; and a paused socket reads no more, so TCP slows the far end.
 * `destroy` reaches the far end as an end: the platform has no RST.
 */
export class DialledSocket implements Socket {
  handler: SocketHandler = deaf;
  readonly local = "";
  readonly #raw: TcpSocket;
  readonly #reader: ReadableStreamBYOBReader;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #gone: () => void;
  readonly #queue = new WriteQueue();
  /** For the next read. */
  #room: ArrayBuffer | undefined;
  /** Was read when the socket was paused already. */
  #kept: Uint8Array | undefined;
  #isPaused = false;
  #isReading = false;
  #isWriting = false;
  /** `end` was asked for; `#hasFinished`: FIN is out. */
  #isEnding = false;
  #hasFinished = false;
  #hasPeerEnded = false;
  /** The platform says that the socket is closed; nobody here has asked for it. */
  #isCut = false;
  #isOver = false;
  /** Of what is queued. */
  #counted = 0;

  /**
   * `lingerMs`: one that is broken off closes once the far end has taken the write under way, and is let go after that time
   * anyhow. `gone`: the platform has let go of it. `held`: counts what is queued.
   */
  constructor(
    raw: TcpSocket,
    readonly remote: string,
    private readonly lingerMs: number,
    gone: () => void,
    private readonly held?: Gauge,
  ) {
    this.#raw = raw;
    this.#gone = gone;
    this.#reader = raw.readable.getReader({ mode: "byob" });
    this.#writer = raw.writable.getWriter();
    const cut = (): void => {
      this.#isCut = true;
    };
    raw.closed.then(cut, cut);
    // Told by each write as well.
    this.#writer.closed.catch(() => {});
  }

  /** The handler is set: bytes may come. */
  begin(): void {
    void this.#read();
  }

  get queued(): number {
    return this.#queue.bytes;
  }

  write(bytes: Uint8Array): number {
    if (this.#isEnding || this.#isOver || bytes.length === 0) return this.queued;
    this.#queue.push(bytes, 0);
    this.#weigh();
    void this.#write();
    return this.queued;
  }

  end(): void {
    if (this.#isEnding || this.#isOver) return;
    this.#isEnding = true;
    void this.#write();
  }

  destroy(): void {
    if (this.#isOver) return;
    this.#close();
    queueMicrotask(() => this.handler.closed({ reset: false }));
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    queueMicrotask(() => void this.#read());
  }

  async #read(): Promise<void> {
    if (this.#isReading) return;
    this.#isReading = true;
    while (!this.#isPaused && !this.#isOver && !this.#hasPeerEnded) {
      const bytes = this.#kept ?? (await this.#next());
      this.#kept = undefined;
      if (this.#isOver || bytes === undefined) break;
      if (this.#isPaused) this.#kept = bytes;
      else this.handler.data(bytes);
    }
    this.#isReading = false;
  }

  /** undefined: no more comes, and whoever is to know has been told. */
  async #next(): Promise<Uint8Array | undefined> {
    const room = new Uint8Array(this.#room ?? new ArrayBuffer(readBytes));
    this.#room = undefined;
    const read = await this.#reader.read(room).catch(() => undefined);
    if (this.#isOver) return undefined;
    if (read === undefined || read.value === undefined) {
      this.#broken();
      return undefined;
    }
    if (read.done) {
      this.#peerEnded();
      return undefined;
    }
    const { value } = read;
    if (value.length * 4 >= value.buffer.byteLength) return value;
    this.#room = value.buffer;
    return value.slice();
  }

  async #write(): Promise<void> {
    if (this.#isWriting) return;
    this.#isWriting = true;
    for (let chunk = this.#queue.first; chunk !== undefined; chunk = this.#queue.first) {
      const isWritten = await didSucceed(this.#writer.write(chunk));
      if (this.#isOver) return;
      if (!isWritten) return this.#broken();
      this.#queue.drop(chunk.length);
      this.#weigh();
      this.handler.drained();
    }
    this.#isWriting = false;
    if (this.#isEnding) await this.#finish();
  }

  async #finish(): Promise<void> {
    const hasFinished = await didSucceed(this.#writer.close());
    if (this.#isOver) return;
    if (!hasFinished) return this.#broken();
    this.#hasFinished = true;
    this.#settle();
  }

  #peerEnded(): void {
    // workerd of July 2026 tells a reset as an end. As long as our FIN is not out, only a reset closes the socket too.
    if (this.#isCut && !this.#isEnding) return this.#broken();
    this.#hasPeerEnded = true;
    this.handler.ended();
    this.#settle();
  }

  #settle(): void {
    if (!this.#hasFinished || !this.#hasPeerEnded || this.#isOver) return;
    this.#close();
    this.handler.closed({ reset: false });
  }

  #broken(): void {
    this.#close();
    this.handler.closed({ reset: true });
  }

  #weigh(): void {
    this.held?.add(this.queued - this.#counted);
    this.#counted = this.queued;
  }

  #close(): void {
    this.#isOver = true;
    this.#queue.clear();
    this.#weigh();
    this.#kept = undefined;
    const timer = setTimeout(() => void didSucceed(this.#writer.abort()), this.lingerMs);
    void didSucceed(this.#raw.close()).then(() => {
      clearTimeout(timer);
      this.#gone();
    });
  }
}

/** Why it failed does not matter, or is not told. */
function didSucceed(promise: Promise<unknown>): Promise<boolean> {
  return promise.then(
    () => true,
    () => false,
  );
}
