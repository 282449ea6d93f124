import { createHash, randomBytes } from "node:crypto";
import { type AddressInfo, createServer, type Server } from "node:net";
import type { RawOrigin } from "../blackbox/raw/origin.ts";
import { type Target, Visitor } from "../blackbox/raw/visitor.ts";
import { opcodes, RawWebSocket } from "../blackbox/raw/websocket.ts";
import { Wire } from "../blackbox/raw/wire.ts";

const mebibyte = 1_048_576;

export interface SlowTransfer {
  readonly origin: RawOrigin;
  readonly target: Target;
  readonly mebibytes: number;
  /** Who is slow does not read so often, each time until this resolves; between, at full speed. */
  readonly pauses: number;
  readonly paused: () => Promise<unknown>;
}

interface Sums {
  readonly sent: string;
  readonly came: string;
}

/** Blocks of 1 MiB, no two alike. */
function* blocks(mebibytes: number): Generator<Uint8Array> {
  const block = randomBytes(mebibyte);
  for (let i = 0; i < mebibytes; i++) {
    block.writeUInt32LE(i);
    yield block.slice();
  }
}

/** Counts what comes, and pauses in time. */
class SlowReader {
  readonly hash = createHash("sha256");
  private bytes = 0;
  private nextPause = 0;

  constructor(private readonly options: Omit<SlowTransfer, "origin">) {}

  async take(piece: Uint8Array): Promise<void> {
    const { mebibytes, pauses, paused } = this.options;
    this.hash.update(piece);
    this.bytes += piece.length;
    if (this.bytes < this.nextPause) return;
    this.nextPause += (mebibytes * mebibyte) / pauses;
    await paused();
  }
}

/** A visitor who reads an answer slowly. */
export async function slowDownload(options: SlowTransfer): Promise<Sums> {
  const { origin, target, mebibytes } = options;
  const hash = createHash("sha256");
  origin.script = async (exchange) => {
    await exchange.send(`HTTP/1.1 200 OK\r\nContent-Length: ${mebibytes * mebibyte}\r\n\r\n`);
    for (const block of blocks(mebibytes)) {
      hash.update(block);
      await exchange.send(block);
    }
  };
  using visitor = await Visitor.connect(target);
  await visitor.send("GET / HTTP/1.1\r\nHost: HOST\r\n\r\n");
  const { body } = await visitor.answer();
  const reader = new SlowReader(options);
  for (let piece = await body.piece(); piece !== undefined; piece = await body.piece())
    await reader.take(piece);
  return { sent: hash.digest("hex"), came: reader.hash.digest("hex") };
}

/** A visitor who uploads at full speed to an origin that reads slowly. */
export async function slowUpload(options: SlowTransfer): Promise<Sums> {
  const { origin, target, mebibytes } = options;
  const reader = new SlowReader(options);
  origin.script = async (exchange) => {
    const { body } = exchange;
    for (let piece = await body.piece(); piece !== undefined; piece = await body.piece())
      await reader.take(piece);
    await exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone");
  };
  using visitor = await Visitor.connect(target);
  const hash = createHash("sha256");
  await visitor.send(`POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: ${mebibytes * mebibyte}\r\n\r\n`);
  for (const block of blocks(mebibytes)) {
    hash.update(block);
    await visitor.wire.send(block);
  }
  if ((await (await visitor.answer()).body.text()) !== "done") throw new Error("no answer to the upload");
  return { sent: hash.digest("hex"), came: reader.hash.digest("hex") };
}

/** A program that sends at full speed through a tunnel to a service of bytes that reads slowly. */
export async function slowBytes(options: Omit<SlowTransfer, "origin">, service: ByteSink): Promise<Sums> {
  const reader = new SlowReader(options);
  service.taken = (piece) => reader.take(piece);
  const wire = await Wire.connect(options.target.port);
  const hash = createHash("sha256");
  for (const block of blocks(options.mebibytes)) {
    hash.update(block);
    await wire.send(block);
  }
  wire.end();
  // It ends when all of that was read.
  await wire.rest();
  wire.close();
  return { sent: hash.digest("hex"), came: reader.hash.digest("hex") };
}

/** A service of bytes that reads one piece after the other, and ends when there are no more. */
export class ByteSink {
  taken: (piece: Uint8Array) => Promise<void> = async () => {};
  private readonly server: Server;

  private constructor() {
    this.server = createServer({ allowHalfOpen: true }, async (socket) => {
      const wire = new Wire(socket);
      for (let piece = await wire.some(); piece !== undefined; piece = await wire.some())
        await this.taken(piece);
      wire.end();
    });
  }

  static async listen(): Promise<ByteSink> {
    const sink = new ByteSink();
    await new Promise<void>((resolve) => sink.server.listen(0, "127.0.0.1", resolve));
    return sink;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  close(): void {
    this.server.close();
  }
}

/** A visitor whose WebSocket reads slowly what comes in messages of `messageBytes`. */
export async function slowMessages(options: SlowTransfer, messageBytes: number): Promise<Sums> {
  const { origin, target, mebibytes } = options;
  const hash = createHash("sha256");
  origin.script = async (exchange) => {
    const socket = await RawWebSocket.accept(exchange);
    for (const block of blocks(mebibytes)) {
      hash.update(block);
      for (let at = 0; at < block.length; at += messageBytes)
        await socket.send(opcodes.binary, block.subarray(at, at + messageBytes));
    }
    await exchange.wire.over;
  };
  using socket = await RawWebSocket.connect(target);
  const reader = new SlowReader(options);
  for (let left = mebibytes * mebibyte; left > 0; ) {
    const { payload } = await socket.frame();
    left -= payload.length;
    await reader.take(payload);
  }
  return { sent: hash.digest("hex"), came: reader.hash.digest("hex") };
}
