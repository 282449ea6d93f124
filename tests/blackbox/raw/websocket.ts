import { createHash, randomBytes } from "node:crypto";
import { Head } from "./head.ts";
import type { Exchange } from "./origin.ts";
import { type Target, Visitor } from "./visitor.ts";
import type { Wire } from "./wire.ts";

export const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

export interface WebSocketFrame {
  readonly fin: boolean;
  readonly opcode: number;
  readonly payload: Uint8Array;
}

export interface UpgradeOptions {
  readonly path?: string;
  readonly fields?: readonly string[];
  /** Frames sent in the same write as the request, before the answer to the upgrade. */
  readonly early?: string;
}

/** One side of a WebSocket as its frames (RFC 6455), nothing merged and nothing answered by itself. */
export class RawWebSocket {
  private constructor(
    readonly wire: Wire,
    readonly head: Head,
    readonly masks: "masked" | "unmasked",
  ) {}

  /** A visitor's side, once the answer to the upgrade is there. */
  static async connect(target: Target, options: UpgradeOptions = {}): Promise<RawWebSocket> {
    const visitor = await Visitor.connect(target);
    const key = randomBytes(16).toString("base64");
    const lines = [
      "Upgrade: websocket",
      "Connection: Upgrade",
      "Sec-WebSocket-Version: 13",
      `Sec-WebSocket-Key: ${key}`,
    ];
    const fields = [...lines, ...(options.fields ?? [])].map((line) => `${line}\r\n`).join("");
    await visitor.send(
      `GET ${options.path ?? "/"} HTTP/1.1\r\nHost: HOST\r\n${fields}\r\n${options.early ?? ""}`,
    );
    const head = await Head.read(visitor.wire);
    if (head.status === 101 && head.field("sec-websocket-accept") !== acceptFor(key))
      throw new Error("wrong accept");
    return new RawWebSocket(visitor.wire, head, "masked");
  }

  /** The origin's side: answers the upgrade; `early` is sent in the same write as the 101. */
  static async accept(
    exchange: Exchange,
    options: { fields?: readonly string[]; early?: string } = {},
  ): Promise<RawWebSocket> {
    const key = exchange.head.field("sec-websocket-key") ?? "";
    const fields = (options.fields ?? []).map((line) => `${line}\r\n`).join("");
    await exchange.send(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${acceptFor(key)}\r\n${fields}\r\n${options.early ?? ""}`,
    );
    return new RawWebSocket(exchange.wire, exchange.head, "unmasked");
  }

  send(opcode: number, payload: Uint8Array | string = "", fin: "fin" | "more" = "fin"): Promise<void> {
    return this.wire.send(
      frameBytes(opcode, payload, { fin: fin === "fin", masked: this.masks === "masked" }),
    );
  }

  /** The next frame, its payload unmasked. */
  async frame(): Promise<WebSocketFrame> {
    const start = await this.wire.exactly(2);
    const [first = 0, second = 0] = start;
    let length = second & 127;
    if (length === 126) length = Buffer.from(await this.wire.exactly(2)).readUInt16BE();
    else if (length === 127) length = Number(Buffer.from(await this.wire.exactly(8)).readBigUInt64BE());
    const mask = second & 128 ? await this.wire.exactly(4) : undefined;
    const payload = await this.wire.exactly(length);
    if (mask) for (let i = 0; i < length; i++) payload[i] = (payload[i] ?? 0) ^ (mask[i & 3] ?? 0);
    return { fin: (first & 128) !== 0, opcode: first & 15, payload };
  }

  /** The next message with all its fragments joined; control frames among them fail. */
  async message(): Promise<{ opcode: number; payload: Uint8Array; fragments: number }> {
    const parts: WebSocketFrame[] = [];
    do parts.push(await this.frame());
    while (parts.at(-1)?.fin === false);
    return {
      opcode: parts[0]?.opcode ?? 0,
      payload: Buffer.concat(parts.map((part) => part.payload)),
      fragments: parts.length,
    };
  }

  async text(): Promise<string> {
    return Buffer.from((await this.message()).payload).toString();
  }

  close(): void {
    this.wire.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

export function frameBytes(
  opcode: number,
  payload: Uint8Array | string,
  { fin = true, masked }: { fin?: boolean; masked: boolean },
): Uint8Array {
  const data = Buffer.from(payload);
  const size = data.length < 126 ? 0 : data.length < 65_536 ? 2 : 8;
  const out = Buffer.alloc(2 + size + (masked ? 4 : 0) + data.length);
  out[0] = (fin ? 128 : 0) | opcode;
  out[1] = (masked ? 128 : 0) | (size === 0 ? data.length : size === 2 ? 126 : 127);
  if (size === 2) out.writeUInt16BE(data.length, 2);
  if (size === 8) out.writeBigUInt64BE(BigInt(data.length), 2);
  data.copy(out, out.length - data.length);
  if (masked) {
    const mask = randomBytes(4);
    mask.copy(out, 2 + size);
    const at = out.length - data.length;
    for (let i = 0; i < data.length; i++) out[at + i] = (out[at + i] ?? 0) ^ (mask[i & 3] ?? 0);
  }
  return out;
}

export function closePayload(code: number, reason = ""): Uint8Array {
  const payload = Buffer.alloc(2 + Buffer.byteLength(reason));
  payload.writeUInt16BE(code);
  payload.write(reason, 2);
  return payload;
}

function acceptFor(key: string): string {
  return createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
}
