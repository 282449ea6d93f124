import { createHash } from "node:crypto";
import { type Field, type Head, parseFields } from "./head.ts";
import { type Wire, WireEnded } from "./wire.ts";

export type Framing = "none" | "length" | "chunked" | "close";

/** A body as it arrives, without its chunk framing. */
export class Body {
  trailers: Field[] = [];
  /** The whole body has been read; false for one that was cut off. */
  complete: boolean;
  #left: number;

  constructor(
    readonly wire: Wire,
    readonly framing: Framing,
    length = 0,
  ) {
    this.#left = length;
    this.complete = framing === "none" || (framing === "length" && length === 0);
  }

  static ofRequest(wire: Wire, head: Head): Body {
    if (head.field("transfer-encoding") !== undefined) return new Body(wire, "chunked");
    const length = head.field("content-length");
    return length === undefined ? new Body(wire, "none") : new Body(wire, "length", Number(length));
  }

  static ofResponse(wire: Wire, head: Head, method: string): Body {
    const { status } = head;
    if (method === "HEAD" || status < 200 || status === 204 || status === 304) return new Body(wire, "none");
    if (head.field("transfer-encoding") !== undefined) return new Body(wire, "chunked");
    const length = head.field("content-length");
    return length === undefined ? new Body(wire, "close") : new Body(wire, "length", Number(length));
  }

  /** The next piece, as it came; undefined at the end. Throws `WireEnded` where the body was cut off. */
  async piece(): Promise<Uint8Array | undefined> {
    if (this.complete) return undefined;
    if (this.framing === "close") {
      const piece = await this.wire.some();
      this.complete = piece === undefined;
      return piece;
    }
    if (this.framing === "chunked" && this.#left === 0) {
      this.#left = Number.parseInt(await this.wire.until("\r\n"), 16);
      if (this.#left === 0) {
        await this.#readTrailers();
        return undefined;
      }
    }
    const piece = await this.wire.some(this.#left);
    if (piece === undefined) throw new WireEnded(false);
    this.#left -= piece.length;
    if (this.#left === 0) {
      if (this.framing === "chunked") await this.wire.until("\r\n");
      else this.complete = true;
    }
    return piece;
  }

  /** Reads pieces until `length` bytes are there. */
  async atLeast(length: number): Promise<string> {
    let text = "";
    while (text.length < length) {
      const piece = await this.piece();
      if (piece === undefined) break;
      text += Buffer.from(piece).toString("latin1");
    }
    return text;
  }

  /** What there is, as latin-1 text, to its end or to where it was cut off (`complete` tells). */
  async text(): Promise<string> {
    const parts: Uint8Array[] = [];
    await this.#each((piece) => parts.push(piece));
    return Buffer.concat(parts).toString("latin1");
  }

  async sha256(): Promise<{ bytes: number; sha256: string }> {
    const hash = createHash("sha256");
    let bytes = 0;
    await this.#each((piece) => {
      hash.update(piece);
      bytes += piece.length;
    });
    return { bytes, sha256: hash.digest("hex") };
  }

  async #each(take: (piece: Uint8Array) => void): Promise<void> {
    try {
      for (let piece = await this.piece(); piece !== undefined; piece = await this.piece()) take(piece);
    } catch (error) {
      if (!(error instanceof WireEnded)) throw error;
    }
  }

  async #readTrailers(): Promise<void> {
    const lines: string[] = [];
    for (let line = await this.wire.until("\r\n"); line !== ""; line = await this.wire.until("\r\n"))
      lines.push(line);
    this.trailers = parseFields(lines);
    this.complete = true;
  }
}
