import net from "node:net";
import { within } from "../programs/within.ts";

const waitLimitMs = 30_000;

/** How a proxy answers a program: the SOCKS5 reply (0: go on), or the HTTP status. */
export interface ProxyAnswer {
  readonly socks?: number;
  readonly status?: number;
  /** `Underpass-Error` of an HTTP answer. */
  readonly code?: string;
}

/** Asks by SOCKS5 for `host` as a name, whatever it is, and leaves. At most 255 bytes go into such a request. */
export async function askSocks(proxyPort: number, host: string, port: number): Promise<ProxyAnswer> {
  const name = Buffer.from(host);
  const request = Buffer.concat([
    Buffer.from([5, 1, 0, 3, name.length]),
    name,
    Buffer.from([port >>> 8, port & 0xff]),
  ]);
  return askSocksBytes(proxyPort, request);
}

/** The same with an address of 4 or 16 bytes. */
export async function askSocksAddress(
  proxyPort: number,
  address: readonly number[],
  port: number,
): Promise<ProxyAnswer> {
  const type = address.length === 4 ? 1 : 4;
  return askSocksBytes(proxyPort, Buffer.from([5, 1, 0, type, ...address, port >>> 8, port & 0xff]));
}

async function askSocksBytes(proxyPort: number, request: Buffer): Promise<ProxyAnswer> {
  const answer = await exchange(
    proxyPort,
    Buffer.concat([Buffer.from([5, 1, 0]), request]),
    (got) => got.length >= 4,
  );
  // Method, then the reply. Closed without one: refused too.
  return { socks: answer[3] ?? 0xff };
}

/** Says `head` and reads the head of the answer. */
export async function askHttp(proxyPort: number, head: string): Promise<ProxyAnswer> {
  const answer = await exchange(proxyPort, Buffer.from(head), (got) => got.includes("\r\n\r\n"));
  const text = answer.toString("latin1");
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(text)?.[1] ?? 0);
  const code = /^Underpass-Error: (.*)\r$/im.exec(text)?.[1];
  return { status, ...(code !== undefined && { code }) };
}

function exchange(port: number, request: Buffer, isEnough: (got: Buffer) => boolean): Promise<Buffer> {
  const answered = new Promise<Buffer>((resolve, reject) => {
    const parts: Buffer[] = [];
    const socket = net.connect({ host: "127.0.0.1", port }, () => socket.write(request));
    const done = (): void => {
      resolve(Buffer.concat(parts));
      socket.destroy();
    };
    socket.on("data", (bytes: Buffer) => {
      parts.push(bytes);
      if (isEnough(Buffer.concat(parts))) done();
    });
    socket.on("end", done);
    socket.on("error", (error) => (parts.length > 0 ? done() : reject(error)));
  });
  return within(answered, waitLimitMs, () => `an answer to ${JSON.stringify(request.toString("latin1"))}`);
}
