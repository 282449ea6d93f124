/**
 * A program: one visitor moves large bodies over one keep-alive socket. Unpaced, it repeats whole transfers until the
 * time is over; with `mibPerSecond` it holds itself to that rate and stops in the middle. Options are one JSON
 * argument; the result is one JSON line.
 */
export interface BulkOptions {
  readonly direction: "down" | "up";
  readonly host: string;
  readonly port: number;
  readonly authority: string;
  readonly path: string;
  /** Of one transfer. */
  readonly bytes: number;
  readonly seconds: number;
  readonly mibPerSecond?: number;
}

export interface BulkResult {
  readonly bytes: number;
  readonly seconds: number;
}

const mib = 1 << 20;
const pieceBytes = 256 * 1024;
const maxHeadChars = 32_768;

const options = JSON.parse(process.argv[2] ?? "{}") as BulkOptions;
const piece = new Uint8Array(pieceBytes);
const bytesPerMs = ((options.mibPerSecond ?? Number.POSITIVE_INFINITY) * mib) / 1_000;
const head =
  options.direction === "down"
    ? `GET ${options.path} HTTP/1.1\r\nHost: ${options.authority}\r\n\r\n`
    : `POST ${options.path} HTTP/1.1\r\nHost: ${options.authority}\r\nContent-Length: ${options.bytes}\r\n\r\n`;

let startMs = 0;
let moved = 0;
let unsent = 0;
let answerHead = "";
let answerLeft = -1;
let finished = false;

const elapsedMs = (): number => performance.now() - startMs;

function finish(socket: { terminate(): void }): void {
  const result: BulkResult = { bytes: moved, seconds: elapsedMs() / 1_000 };
  console.log(JSON.stringify(result));
  finished = true;
  socket.terminate();
  process.exit(0);
}

function fail(reason: string): never {
  console.error(`bulk ${options.direction}: ${reason}`);
  process.exit(1);
}

type Pipe = Bun.Socket<undefined>;

function begin(socket: Pipe): void {
  socket.write(head);
  if (options.direction === "up") {
    unsent = options.bytes;
    push(socket);
  }
}

/** Sends as much as the system and the rate take. */
function push(socket: Pipe): void {
  while (unsent > 0) {
    const aheadMs = moved / bytesPerMs - elapsedMs();
    if (aheadMs > 1) return void setTimeout(push, aheadMs, socket);
    const bytes = unsent < pieceBytes ? piece.subarray(0, unsent) : piece;
    const taken = socket.write(bytes);
    if (taken < 0) fail("the socket was closed during an upload");
    unsent -= taken;
    moved += taken;
    if (taken < bytes.byteLength) return;
  }
}

/** Rests when more came than the rate allows. */
function hold(socket: Pipe): void {
  const aheadMs = moved / bytesPerMs - elapsedMs();
  if (aheadMs <= 1) return;
  socket.pause();
  setTimeout(() => socket.resume(), aheadMs);
}

function answered(socket: Pipe, bytes: Uint8Array): void {
  let rest = bytes.byteLength;
  if (answerLeft < 0) {
    answerHead += Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
    const end = answerHead.indexOf("\r\n\r\n");
    if (end < 0 && answerHead.length > maxHeadChars) fail("endless head");
    if (end < 0) return;
    const text = answerHead.slice(0, end + 2);
    answerLeft = Number(/\r\ncontent-length: *(\d+)/i.exec(text)?.[1] ?? Number.NaN);
    if (!text.startsWith("HTTP/1.1 200") || Number.isNaN(answerLeft)) fail(`unexpected answer: ${text}`);
    if (options.direction === "down" && answerLeft !== options.bytes) fail(`length ${answerLeft}`);
    rest = answerHead.length - end - 4;
    answerHead = options.direction === "up" ? answerHead.slice(end + 4) : "";
  } else if (options.direction === "up") {
    answerHead += Buffer.from(bytes).toString("latin1");
  }
  answerLeft -= rest;
  if (options.direction === "down") moved += rest;
  if (answerLeft < 0) fail("more than Content-Length said");
  if (answerLeft > 0) return;
  if (options.direction === "up" && Number(answerHead) !== options.bytes)
    fail(`the sink counted ${answerHead}`);
  answerHead = "";
  answerLeft = -1;
  if (elapsedMs() >= options.seconds * 1_000) finish(socket);
  else begin(socket);
}

const paced = options.mibPerSecond !== undefined;
await Bun.connect<undefined>({
  hostname: options.host,
  port: options.port,
  socket: {
    open(socket) {
      startMs = performance.now();
      socket.setNoDelay(true);
      begin(socket);
      if (paced) setTimeout(finish, options.seconds * 1_000, socket);
    },
    data(socket, bytes) {
      answered(socket, bytes);
      if (paced && options.direction === "down") hold(socket);
    },
    drain(socket) {
      push(socket);
    },
    close() {
      if (!finished) fail("the socket was closed");
    },
    error(_socket, error) {
      fail(String(error));
    },
  },
}).catch((error: unknown) => fail(String(error)));
