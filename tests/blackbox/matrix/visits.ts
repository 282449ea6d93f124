import { createHash, randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { SocksVisitor } from "./socks-visitor.ts";

/** Larger than all windows and queues on the way while nobody reads: so that it is under way when the links go. */
const bodyBytes = 6 * 2 ** 20;
const pieceBytes = 65_536;

/** A visitor of an echo: `halfWay` is called when half of it is back. Fails unless all comes back as it was. */
export type Visit = (halfWay: () => void) => Promise<void>;

/** Over TCP, as far as `open` opens it: both directions at once, then half-close. */
export async function visitBytes(open: () => Promise<Socket>, halfWay: () => void): Promise<void> {
  const socket = await open();
  const body = randomBytes(bodyBytes);
  const got = createHash("sha256");
  let count = 0;
  let told = false;
  const back = (async () => {
    for await (const bytes of socket as AsyncIterable<Uint8Array>) {
      got.update(bytes);
      count += bytes.length;
      if (told || count < bodyBytes / 2) continue;
      told = true;
      halfWay();
    }
  })();
  const ended = back.catch(() => {});
  for (let at = 0; at < body.length; at += pieceBytes) {
    if (socket.write(body.subarray(at, at + pieceBytes))) continue;
    await Promise.race([once(socket, "drain"), ended]);
  }
  socket.end();
  await back;
  const sha = got.digest("hex");
  if (count !== body.length || sha !== createHash("sha256").update(body).digest("hex"))
    throw new Error(`${count} of ${body.length} bytes came back, or others`);
}

export async function visitTcp(port: number, halfWay: () => void): Promise<void> {
  await visitBytes(async () => {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    await once(socket, "connect");
    return socket;
  }, halfWay);
}

export async function visitTls(port: number, name: string, halfWay: () => void): Promise<void> {
  await visitBytes(async () => {
    const asked = {
      port,
      host: "127.0.0.1",
      servername: name,
      rejectUnauthorized: false,
      allowHalfOpen: true,
    };
    const socket = connectTls(asked);
    await once(socket, "secureConnect");
    return socket;
  }, halfWay);
}

export async function visitSocks(proxyPort: number, target: number, halfWay: () => void): Promise<void> {
  await visitBytes(() => SocksVisitor.connect(proxyPort, "127.0.0.1", target), halfWay);
}

/** A POST that is answered while it is sent. */
export async function visitHttp(url: string, host: string, halfWay: () => void): Promise<void> {
  const body = randomBytes(bodyBytes);
  let told = false;
  // `close`: miniflare's front answers early on a socket that is to be kept.
  const response = await fetch(url, {
    method: "POST",
    body,
    headers: { host, "accept-encoding": "identity" },
  });
  const got = createHash("sha256");
  let count = 0;
  for await (const bytes of response.body ?? []) {
    got.update(bytes);
    count += bytes.length;
    if (told || count < bodyBytes / 2) continue;
    told = true;
    halfWay();
  }
  if (response.status !== 200 || got.digest("hex") !== createHash("sha256").update(body).digest("hex"))
    throw new Error(`${response.status}: ${count} of ${body.length} bytes came back, or others`);
}

/** Datagrams of several sizes there and back, again after the links went: what is lost on the way is sent again. */
export async function visitUdp(port: number, halfWay: () => void): Promise<void> {
  const socket = createSocket("udp4");
  socket.connect(port, "127.0.0.1");
  await once(socket, "connect");
  try {
    const sizes = [1, 100, 1_400, 9_000, 60_000];
    for (const round of [0, 1]) {
      for (const size of sizes) await echoed(socket, randomBytes(size));
      if (round === 0) halfWay();
    }
  } finally {
    socket.close();
  }
}

async function echoed(socket: ReturnType<typeof createSocket>, datagram: Buffer): Promise<void> {
  const back = new Promise<void>((resolve) => {
    const look = (message: Buffer) => {
      if (!message.equals(datagram)) return;
      socket.off("message", look);
      resolve();
    };
    socket.on("message", look);
  });
  socket.on("error", () => {});
  // As a program would that speaks over UDP.
  const again = setInterval(() => socket.send(datagram), 250);
  socket.send(datagram);
  try {
    await back;
  } finally {
    clearInterval(again);
  }
}
