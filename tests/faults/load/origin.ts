import { createHash } from "node:crypto";
import { type Exchange, RawOrigin } from "../../blackbox/raw/origin.ts";
import { closePayload, opcodes, RawWebSocket } from "../../blackbox/raw/websocket.ts";
import { ContentCheck, content } from "./content.ts";
import type { Ledger } from "./ledger.ts";
import type { Pace } from "./pace.ts";

/** A body is sent in pieces of this size at most, a pause after each. */
const pieceBytes = 16_384;

export interface LoadOriginOptions {
  readonly ledger: Ledger;
  readonly pace: Pace;
  /** Between two pieces of a download. */
  readonly pieceEveryMs: number;
}

/**
 * The origin of a load. `GET /down/ID/BYTES`: body number ID. `POST /up/ID`: answers `BYTES SHA256` of what came.
 * `GET /echo/ID`: a WebSocket that echoes and wants `N ...` numbered from 0. It tells the ledger which ids it saw, and
 * whatever it saw that no origin should: a request that was cut off, a connection that ended under an answer.
 */
export async function startLoadOrigin(options: LoadOriginOptions): Promise<RawOrigin> {
  const { ledger } = options;
  return RawOrigin.listen(async (exchange) => {
    const [, kind = "", id = "", bytes = ""] = exchange.head.target.split("/");
    ledger.arrived(Number(id));
    const trouble = (what: string) => ledger.problem(`origin, ${kind} ${id}: ${what}`);
    try {
      if (kind === "down") await down(exchange, Number(id), Number(bytes), options, trouble);
      else if (kind === "up") await up(exchange, Number(id), trouble);
      else await echo(exchange, trouble);
    } catch (error) {
      // A body that was cut off ends here too.
      trouble(String(error));
      throw error;
    }
  });
}

type Trouble = (what: string) => void;

async function down(
  exchange: Exchange,
  id: number,
  bytes: number,
  { pace, pieceEveryMs }: LoadOriginOptions,
  trouble: Trouble,
): Promise<void> {
  let ended: string | undefined;
  void exchange.wire.over.then((how) => {
    ended = how;
  });
  // Both framings that an answer of known length can have.
  const chunked = id % 2 === 1;
  await exchange.send(
    `HTTP/1.1 200 OK\r\n${chunked ? "Transfer-Encoding: chunked" : `Content-Length: ${bytes}`}\r\n\r\n`,
  );
  for (let at = 0; at < bytes; ) {
    const piece = content(id, at, Math.min(pieceBytes, bytes - at));
    at += piece.length;
    await exchange.send(
      chunked
        ? Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from("\r\n")])
        : piece,
    );
    if (ended !== undefined) {
      trouble(`${ended} after ${at} of ${bytes} bytes`);
      return;
    }
    await pace.step(pieceEveryMs);
  }
  if (chunked) await exchange.send("0\r\n\r\n");
}

async function up(exchange: Exchange, id: number, trouble: Trouble): Promise<void> {
  const check = new ContentCheck(id);
  const hash = createHash("sha256");
  for (let piece = await exchange.body.piece(); piece !== undefined; piece = await exchange.body.piece()) {
    hash.update(piece);
    check.take(piece);
  }
  if (check.wrongAt !== undefined) trouble(`wrong bytes from ${check.wrongAt} on`);
  const text = `${check.at} ${hash.digest("hex")}`;
  await exchange.send(`HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`);
}

async function echo(exchange: Exchange, trouble: Trouble): Promise<void> {
  const socket = await RawWebSocket.accept(exchange);
  for (let next = 0; ; next++) {
    const { opcode, payload } = await socket.message();
    if (opcode === opcodes.close) {
      await socket.send(opcodes.close, closePayload(1000));
      await socket.wire.over;
      return;
    }
    const number = Number.parseInt(Buffer.from(payload.subarray(0, 10)).toString("latin1"), 10);
    if (number !== next) trouble(`message ${number} where ${next} was due`);
    await socket.send(opcode, payload);
  }
}
