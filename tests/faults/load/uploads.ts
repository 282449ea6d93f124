import { createHash } from "node:crypto";
import type { Visitor } from "../../blackbox/raw/visitor.ts";
import { content } from "./content.ts";
import type { Ledger } from "./ledger.ts";
import type { Pace } from "./pace.ts";

const pieceBytes = 16_384;

/** Posts a body of `bytes` bytes, and checks the sha256 that the origin says it got. Fails with what a visitor must not see. */
export async function upload(
  visitor: Visitor,
  bytes: number,
  { ledger, pace, pieceEveryMs }: { ledger: Ledger; pace: Pace; pieceEveryMs: number },
): Promise<void> {
  let at = 0;
  const id = ledger.begin(() => `up, ${at} of ${bytes} bytes sent`);
  try {
    const chunked = id % 2 === 1;
    const hash = createHash("sha256");
    let longestPauseMs = 0;
    const timed = async <T>(wait: Promise<T>): Promise<T> => {
      const fromMs = performance.now();
      const result = await wait;
      longestPauseMs = Math.max(longestPauseMs, performance.now() - fromMs);
      return result;
    };
    const framing = chunked ? "Transfer-Encoding: chunked" : `Content-Length: ${bytes}`;
    await visitor.send(`POST /up/${id} HTTP/1.1\r\nHost: HOST\r\n${framing}\r\n\r\n`);
    // Whoever has hung up is told by the answer.
    while (at < bytes && !visitor.wire.socket.destroyed) {
      const piece = content(id, at, Math.min(pieceBytes, bytes - at));
      hash.update(piece);
      at += piece.length;
      ledger.bytesUp += piece.length;
      const framed = chunked
        ? Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from("\r\n")])
        : piece;
      await timed(visitor.wire.send(framed));
      if (at < bytes) await pace.step(pieceEveryMs);
    }
    if (chunked) await visitor.wire.send("0\r\n\r\n");
    const answer = await timed(visitor.answer("POST"));
    const text = await answer.body.text();
    if (answer.status !== 200)
      throw new Error(`${answer.status} ${answer.head.field("underpass-error") ?? ""}`);
    const wanted = `${bytes} ${hash.digest("hex")}`;
    if (text !== wanted) throw new Error(`the origin got ${text} instead of ${wanted}`);
    ledger.end(id, bytes < pieceBytes ? "small up" : "up", longestPauseMs);
  } catch (error) {
    ledger.fail(id, String(error));
    throw error;
  }
}
