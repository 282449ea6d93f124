import { createHash } from "node:crypto";
import type { Visitor } from "../../blackbox/raw/visitor.ts";
import { ContentCheck, content } from "./content.ts";
import type { Ledger } from "./ledger.ts";

/** Asks for a body of `bytes` bytes and checks it against its sha256. Fails with what a visitor must not see. */
export async function download(visitor: Visitor, bytes: number, ledger: Ledger): Promise<void> {
  let status = 0;
  const id = ledger.begin(() => `down, ${status}, ${check.at} of ${bytes} bytes`);
  const check = new ContentCheck(id);
  try {
    let heardAtMs = performance.now();
    let longestPauseMs = 0;
    const heard = () => {
      const nowMs = performance.now();
      longestPauseMs = Math.max(longestPauseMs, nowMs - heardAtMs);
      heardAtMs = nowMs;
    };
    await visitor.send(`GET /down/${id}/${bytes} HTTP/1.1\r\nHost: HOST\r\n\r\n`);
    const answer = await visitor.answer();
    heard();
    status = answer.status;
    if (status !== 200) throw new Error(`${status} ${answer.head.field("underpass-error") ?? ""}`);
    const hash = createHash("sha256");
    const wanted = createHash("sha256");
    for (let piece = await answer.body.piece(); piece !== undefined; piece = await answer.body.piece()) {
      heard();
      hash.update(piece);
      check.take(piece);
      ledger.bytesDown += piece.length;
    }
    for (let from = 0; from < bytes; ) {
      const piece = content(id, from, bytes - from);
      wanted.update(piece);
      from += piece.length;
    }
    if (check.at !== bytes) throw new Error(`${check.at} bytes`);
    if (hash.digest("hex") !== wanted.digest("hex"))
      throw new Error(`wrong sha256, from ${check.wrongAt} on`);
    ledger.end(id, "down", longestPauseMs);
  } catch (error) {
    ledger.fail(id, String(error));
    throw error;
  }
}
