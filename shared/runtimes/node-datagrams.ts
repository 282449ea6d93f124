import dgram from "node:dgram";
import { lookup } from "node:dns";
import { isIP } from "node:net";
import type { DatagramFailure, DatagramHandler, DatagramSocket, OpenDatagrams } from "../datagrams.ts";
import { UnderpassError } from "../errors.ts";
import { ownBytes } from "../mux/own-bytes.ts";
import { Queue } from "../mux/queue.ts";
import { addressText, dialFailure, listenFailure } from "./socket-facts.ts";

const datagramLimits = {
  /** The largest payload over IPv4. */
  maxBytes: 65_507,
  /** What waits for the system, and what each datagram costs beside its bytes. */
  maxWaitingBytes: 1_048_576,
  cost: 64,
  /** A few datagrams of the largest size fill what systems give at first. They give no more than they allow (`rmem_max`). */
  receiveBytes: 4_194_304,
  connectedReceiveBytes: 1_048_576,
  /** Deno lets go of a port a moment after `close`. */
  bindAgainMs: 10,
} as const;

/** Deno makes a buffer of that size for each datagram that it waits for: a hundred times slower. */
const mayGrow = "Bun" in globalThis;

interface Waiting {
  readonly bytes: Uint8Array;
  readonly remote: string | undefined;
}

/**
 * `DatagramSocket` over `node:dgram`, for Bun and Deno: measured on Bun, `Bun.udpSocket` is a tenth quicker (102k to 90k
 * echoes of 1,200 bytes a second) and has no way to a larger receive buffer. One send at a time: what Deno is given in one
 * turn it sends last first.
 */
class NodeDatagrams implements DatagramSocket {
  readonly host: string;
  readonly port: number;
  readonly #raw: dgram.Socket;
  readonly #handler: DatagramHandler;
  readonly #isConnected: boolean;
  readonly #waiting = new Queue<Waiting>();
  #waitingCost = 0;
  #sending: Waiting | undefined;
  #again = false;
  #closed = false;

  constructor(
    raw: dgram.Socket,
    handler: DatagramHandler,
    { isConnected }: { readonly isConnected: boolean },
  ) {
    this.#raw = raw;
    this.#handler = handler;
    this.#isConnected = isConnected;
    const { address, port } = raw.address();
    this.host = address;
    this.port = port;
    raw.on("message", (bytes, { address, port }) => {
      if (!this.#closed) handler.message(ownBytes(bytes), addressText(address, port));
    });
    // What the network tells of datagrams that were sent; the socket goes on.
    raw.on("error", (error) => this.#fails(error));
  }

  send(bytes: Uint8Array, remote?: string): void {
    // Whoever sends from port 0 wants no answer.
    if (this.#closed || bytes.length > datagramLimits.maxBytes || remote?.endsWith(":0")) return;
    const waiting = { bytes, remote };
    if (this.#sending === undefined) {
      this.#hand(waiting);
      return;
    }
    this.#waiting.push(waiting);
    this.#waitingCost += costOf(waiting);
    while (this.#waitingCost > datagramLimits.maxWaitingBytes) this.#next();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#waiting.clear();
    this.#raw.close();
  }

  #hand(waiting: Waiting): void {
    const { bytes, remote } = waiting;
    this.#sending = waiting;
    if (remote === undefined || this.#isConnected) {
      this.#raw.send(bytes, this.#sent);
      return;
    }
    const colon = remote.lastIndexOf(":");
    const address = remote[0] === "[" ? remote.slice(1, colon - 1) : remote.slice(0, colon);
    this.#raw.send(bytes, Number(remote.slice(colon + 1)), address, this.#sent);
  }

  readonly #sent = (error: Error | null): void => {
    const sent = this.#sending;
    this.#sending = undefined;
    if (this.#closed) return;
    // A refusal is of one that left before; this one has not left.
    const again = error !== null && !this.#again && isRefusal(error) ? sent : undefined;
    this.#again = again !== undefined;
    const next = again ?? this.#next();
    if (next !== undefined) this.#hand(next);
    if (error !== null && !isRefusal(error)) this.#fails(error);
  };

  #next(): Waiting | undefined {
    const next = this.#waiting.shift();
    if (next !== undefined) this.#waitingCost -= costOf(next);
    return next;
  }

  #fails(error: Error): void {
    if (!this.#closed && this.#isConnected) this.#handler.failed?.(failureOf(error));
  }
}

/** Opens sockets of `node:dgram`. */
export const openDatagrams: OpenDatagrams = async (options, handler) => {
  const { remote, port = 0, reusePort = false } = options;
  const far = remote === undefined ? undefined : await addressOf(remote.host);
  const near = options.host === undefined ? undefined : await addressOf(options.host);
  const isIpv6 = (near ?? far ?? "").includes(":");
  const address = near ?? (isIpv6 ? "::" : "0.0.0.0");
  const open = { type: isIpv6 ? "udp6" : "udp4", reusePort, lookup: literal } as const;
  const raw = await bound(open, { address, port });
  try {
    if (remote !== undefined && far !== undefined)
      await settled(raw, (done) => raw.connect(remote.port, far, done));
    if (mayGrow)
      raw.setRecvBufferSize(
        far === undefined ? datagramLimits.receiveBytes : datagramLimits.connectedReceiveBytes,
      );
  } catch (cause) {
    raw.close();
    throw new UnderpassError("origin-unreachable", undefined, { cause });
  }
  return new NodeDatagrams(raw, handler, { isConnected: far !== undefined });
};

/** All addresses are literal by then: the platform would ask its resolver for each send. */
function literal(
  host: string,
  _options: unknown,
  found: (error: null, address: string, family: number) => void,
): void {
  found(null, host, isIP(host));
}

async function bound(
  open: dgram.SocketOptions,
  { address, port }: { readonly address: string; readonly port: number },
  { isLast = false } = {},
): Promise<dgram.Socket> {
  const raw = dgram.createSocket(open);
  try {
    await settled(raw, (done) => raw.bind({ address, port }, done));
    return raw;
  } catch (cause) {
    const code = codeOf(cause);
    if (code === "EMFILE")
      throw new UnderpassError("stream-failed", "The system has no more sockets.", { cause });
    if (code !== "EADDRINUSE" || isLast) throw listenFailure({ host: address, port }, cause);
  }
  await new Promise((resolve) => setTimeout(resolve, datagramLimits.bindAgainMs));
  return bound(open, { address, port }, { isLast: true });
}

/** Does `begin`, until it is done or the socket fails. */
function settled(raw: dgram.Socket, begin: (done: (error?: Error) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    raw.once("error", reject);
    begin((error) => {
      raw.off("error", reject);
      if (error === undefined || error === null) resolve();
      else reject(error);
    });
  });
}

/** The address of a host, IPv4 first: who is asked by UDP does not say that he is there, so one must do. */
function addressOf(host: string): Promise<string> {
  if (isIP(host) !== 0) return Promise.resolve(host);
  // RFC 6761 section 6.3, whatever a hosts file or a resolver says.
  if (/^(?:.+\.)?localhost$/i.test(host)) return Promise.resolve("127.0.0.1");
  return new Promise((resolve, reject) => {
    lookup(host, { order: "ipv4first" }, (cause, address) => {
      if (cause === null) resolve(address);
      else reject(new UnderpassError("origin-not-found", `${host} has no address.`, { cause }));
    });
  });
}

function costOf({ bytes }: Waiting): number {
  return bytes.length + datagramLimits.cost;
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}

function isRefusal(error: Error): boolean {
  return codeOf(error) === "ECONNREFUSED";
}

function failureOf(error: Error): DatagramFailure {
  const failure = dialFailure(error);
  return failure === "refused" || failure === "unreachable" ? failure : "failed";
}
