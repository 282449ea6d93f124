/**
 * A program: WebSocket messages to an echo, each socket sending again as soon as an answer is there. Options are one
 * JSON argument; the result is one JSON line. It writes frames made in advance and counts bytes that come back: as
 * cheap as it can be, since it shares the machine.
 */
export interface MessagesOptions {
  readonly host: string;
  readonly port: number;
  readonly authority: string;
  readonly sockets: number;
  /** Messages under way on each socket. */
  readonly depth: number;
  /** Of a message, below 126. */
  readonly bytes: number;
  readonly seconds: number;
}

export interface MessagesResult {
  readonly messages: number;
  readonly seconds: number;
}

const maxHeadChars = 32_768;

const options = JSON.parse(process.argv[2] ?? "{}") as MessagesOptions;
// Binary, final, masked with zeros; the answer is the same without the mask.
const frame = new Uint8Array([0x82, 0x80 | options.bytes, 0, 0, 0, 0, ...new Uint8Array(options.bytes)]);
const answerBytes = 2 + options.bytes;
/** As many frames in one piece of memory as a socket may ever want to send at once. */
const frames = new Uint8Array(frame.byteLength * options.depth);
for (let at = 0; at < options.depth; at++) frames.set(frame, at * frame.byteLength);

interface Talk {
  head: string;
  open: boolean;
  /** Of an answer that is not complete. */
  part: number;
}

let messages = 0;
let startMs = 0;
let opened = 0;
let over = false;

function fail(reason: string): never {
  console.error(`messages: ${reason}`);
  process.exit(1);
}

function send(socket: Bun.Socket<Talk>, count: number): void {
  const bytes = frames.subarray(0, count * frame.byteLength);
  // What is under way is far below what a socket buffers.
  if (socket.write(bytes) !== bytes.byteLength) fail("a socket took less than was under way");
}

function talk(socket: Bun.Socket<Talk>, bytes: Buffer): void {
  const state = socket.data;
  let came = bytes.byteLength;
  if (!state.open) {
    state.head += bytes.toString("latin1");
    const end = state.head.indexOf("\r\n\r\n");
    if (end < 0 && state.head.length > maxHeadChars) fail("endless head");
    if (end < 0) return;
    if (!state.head.startsWith("HTTP/1.1 101 ")) fail(state.head.slice(0, 200));
    if (state.head.length > end + 4) fail("a message that nobody asked for");
    state.open = true;
    opened++;
    if (opened < options.sockets) return;
    startMs = performance.now();
    for (const other of sockets) send(other, options.depth);
    setTimeout(finish, options.seconds * 1_000);
    return;
  }
  came += state.part;
  const answers = Math.floor(came / answerBytes);
  state.part = came % answerBytes;
  if (bytes[0] !== 0x82 && state.part === 0 && came === bytes.byteLength) fail("not an echo");
  messages += answers;
  if (answers > 0) send(socket, answers);
}

function finish(): void {
  over = true;
  const result: MessagesResult = { messages, seconds: (performance.now() - startMs) / 1_000 };
  console.log(JSON.stringify(result));
  process.exit(0);
}

const request = [
  "GET / HTTP/1.1",
  `Host: ${options.authority}`,
  "Upgrade: websocket",
  "Connection: Upgrade",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
  "",
  "",
].join("\r\n");

const sockets: Bun.Socket<Talk>[] = [];
for (let count = 0; count < options.sockets; count++) {
  sockets.push(
    await Bun.connect<Talk>({
      hostname: options.host,
      port: options.port,
      data: { head: "", open: false, part: 0 },
      socket: {
        open: (socket) => void socket.setNoDelay(true),
        data: talk,
        close: () => {
          if (!over) fail("a socket was closed");
        },
        error: (_socket, error) => fail(String(error)),
      },
    }),
  );
}
for (const socket of sockets) socket.write(request);
