import type { Target } from "../../blackbox/raw/visitor.ts";
import { closePayload, opcodes, RawWebSocket } from "../../blackbox/raw/websocket.ts";
import { content } from "./content.ts";
import type { Ledger } from "./ledger.ts";
import type { Pace } from "./pace.ts";

const maxPaddingBytes = 3_000;

/**
 * A WebSocket that sends numbered messages until `count` are sent or the pace hurries, while it wants each back once, in
 * order and unchanged; then both ends close. Fails with what a visitor must not see.
 */
export async function echoes(
  target: Target,
  count: number,
  { ledger, pace, messageEveryMs }: { ledger: Ledger; pace: Pace; messageEveryMs: number },
): Promise<void> {
  let sent = 0;
  let came = 0;
  const id = ledger.begin(() => `echo, ${sent} sent, ${came} came back`);
  let socket: RawWebSocket | undefined;
  try {
    let longestPauseMs = 0;
    const sentAtMs: number[] = [];
    const beginMs = performance.now();
    socket = await RawWebSocket.connect(target, { path: `/echo/${id}` });
    longestPauseMs = performance.now() - beginMs;
    const { status } = socket.head;
    if (status !== 101) throw new Error(`${status} ${socket.head.field("underpass-error") ?? ""}`);
    const read = async (socket: RawWebSocket) => {
      for (; ; came++) {
        const { opcode, payload } = await socket.message();
        if (opcode === opcodes.close) return;
        if (Buffer.compare(payload, message(id, came)) !== 0)
          throw new Error(
            `message ${came} came back as ${Buffer.from(payload.subarray(0, 12)).toString("latin1")}`,
          );
        ledger.messages++;
        longestPauseMs = Math.max(longestPauseMs, performance.now() - (sentAtMs[came] ?? 0));
      }
    };
    const reading = read(socket);
    const write = async (socket: RawWebSocket) => {
      while (sent < count && !(pace.hurries && sent > 0)) {
        sentAtMs.push(performance.now());
        // Counted before: its echo may be back before the system says that it was taken.
        const number = sent++;
        await socket.send(number % 2 ? opcodes.text : opcodes.binary, message(id, number));
        await pace.step(messageEveryMs);
      }
      await socket.send(opcodes.close, closePayload(1000));
    };
    await Promise.all([reading, write(socket)]);
    if (came !== sent) throw new Error(`${came} of ${sent} came back before the close`);
    ledger.end(id, "echo", longestPauseMs);
  } catch (error) {
    ledger.fail(id, String(error));
    throw error;
  } finally {
    socket?.close();
  }
}

/** Message `number` of WebSocket `id`: its number, a blank, and letters. */
function message(id: number, number: number): Buffer {
  const length = (id * 31 + number * 977) % maxPaddingBytes;
  const padding = content(id, number * 13, length + 1).map((byte) => 97 + (byte & 15));
  return Buffer.concat([Buffer.from(`${String(number).padStart(9, "0")} `), padding]);
}
