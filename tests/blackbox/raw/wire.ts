import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

/** Above this many unread bytes a wire stops reading, so that a test that does not read is a slow peer. */
const maxUnreadBytes = 256 * 1024;

/** What was waited for can't come any more. `reset` tells a reset connection from one that was closed. */
export class WireEnded extends Error {
  override readonly name = "WireEnded";
  constructor(readonly reset: boolean) {
    super(reset ? "the connection was reset" : "the connection was closed");
  }
}

/** One TCP connection of a test: exact bytes out, exact bytes in, read on demand. */
export class Wire {
  #chunks: Uint8Array[] = [];
  #unread = 0;
  #over: "fin" | "reset" | undefined;
  #wake: (() => void) | undefined;
  /** Resolves when the other side is heard no more: closed (`fin`) or reset. */
  readonly over: Promise<"fin" | "reset">;

  constructor(readonly socket: Socket) {
    socket.setNoDelay(true);
    this.over = new Promise((resolve) => {
      const finish = (how: "fin" | "reset") => {
        this.#over ??= how;
        resolve(this.#over);
        this.#wake?.();
      };
      socket.on("end", () => finish("fin"));
      socket.on("error", () => finish("reset"));
      socket.on("close", (failed: boolean) => finish(failed ? "reset" : "fin"));
    });
    socket.on("data", (bytes: Buffer) => {
      this.#chunks.push(bytes);
      this.#unread += bytes.length;
      if (this.#unread > maxUnreadBytes) socket.pause();
      this.#wake?.();
    });
  }

  static async connect(port: number, host = "127.0.0.1"): Promise<Wire> {
    const socket = connect({ port, host, allowHalfOpen: true });
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    return new Wire(socket);
  }

  /** By TLS in HTTP/1.1, to whom `ca` (PEM) vouches for as `serverName`. */
  static async connectTls(port: number, serverName: string, ca: string): Promise<Wire> {
    const socket = connectTls({
      ...{ port, host: "127.0.0.1", servername: serverName, ca },
      ALPNProtocols: ["http/1.1"],
    });
    await new Promise<void>((resolve, reject) => {
      socket.once("secureConnect", resolve);
      socket.once("error", reject);
    });
    return new Wire(socket);
  }

  /** Resolves when the system has taken the bytes; also when the connection is gone, which reading tells. */
  send(bytes: Uint8Array | string): Promise<void> {
    const data = typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes;
    return new Promise((resolve) => {
      if (this.socket.destroyed) return resolve();
      this.socket.once("close", resolve);
      this.socket.write(data, () => {
        this.socket.off("close", resolve);
        resolve();
      });
    });
  }

  /** Says that nothing more will be sent; goes on reading. */
  end(): void {
    this.socket.end();
  }

  /** Resets the connection: the other side sees an abort, not an end. */
  abort(): void {
    this.socket.resetAndDestroy();
  }

  close(): void {
    this.socket.destroy();
  }

  /** The next bytes, whatever their number; undefined when the other side has ended, throws when it has reset. */
  async some(limit = Number.POSITIVE_INFINITY): Promise<Uint8Array | undefined> {
    while (this.#unread === 0) {
      if (this.#over === "reset") throw new WireEnded(true);
      if (this.#over === "fin") return undefined;
      await this.#more();
    }
    const first = this.#chunks.shift() as Uint8Array;
    const taken = first.length <= limit ? first : first.subarray(0, limit);
    if (taken.length < first.length) this.#chunks.unshift(first.subarray(taken.length));
    this.#took(taken.length);
    return taken;
  }

  async exactly(length: number): Promise<Uint8Array> {
    const out = new Uint8Array(length);
    let at = 0;
    while (at < length) {
      const piece = await this.some(length - at);
      if (piece === undefined) throw new WireEnded(false);
      out.set(piece, at);
      at += piece.length;
    }
    return out;
  }

  /** Everything up to and without `mark`, as latin-1 text. */
  async until(mark: string, maxBytes = 1 << 20): Promise<string> {
    for (;;) {
      const all = this.#joined(mark);
      const at = all.indexOf(mark, 0, "latin1");
      if (at >= 0) {
        this.#chunks[0] = all.subarray(at + mark.length);
        if (this.#chunks[0].length === 0) this.#chunks.shift();
        this.#took(at + mark.length);
        return all.subarray(0, at).toString("latin1");
      }
      if (all.length > maxBytes) throw new Error(`no ${JSON.stringify(mark)} in ${all.length} bytes`);
      if (this.#over !== undefined) throw new WireEnded(this.#over === "reset");
      const more = this.#more();
      this.socket.resume();
      await more;
    }
  }

  /** Everything until the other side ends or resets. */
  async rest(): Promise<string> {
    let text = "";
    try {
      for (let piece = await this.some(); piece !== undefined; piece = await this.some()) {
        text += Buffer.from(piece).toString("latin1");
      }
    } catch (error) {
      if (!(error instanceof WireEnded)) throw error;
    }
    return text;
  }

  /** The first chunk where it holds `mark`, else all of them as one, which is then the first. */
  #joined(mark: string): Buffer {
    const chunk = this.#chunks[0] ?? new Uint8Array(0);
    const first = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    if (this.#chunks.length <= 1 || first.includes(mark, 0, "latin1")) return first;
    const all = Buffer.concat(this.#chunks);
    this.#chunks = [all];
    return all;
  }

  #more(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #took(bytes: number): void {
    this.#unread -= bytes;
    if (this.#unread <= maxUnreadBytes && this.socket.isPaused()) this.socket.resume();
  }
}
