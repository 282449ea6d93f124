import type { DatagramSocket, OpenDatagrams } from "../../shared/datagrams.ts";
import type { Code } from "../../shared/errors.ts";
import { IdleWatch } from "../../shared/idle-watch.ts";
import type { Socket } from "../../shared/socket.ts";
import type { Flow } from "../caller.ts";
import { proxyLimits } from "./proxy-limits.ts";
import { type ProxyPlace, proxyEvent } from "./proxy-place.ts";
import { readSocksAddress } from "./socks-address.ts";

export interface AssociationHandler {
  /** The local socket is bound to this `address:port`. */
  bound(address: string): void;
  /** It could not be bound. */
  failed(): void;
}

/** Before the address: two reserved bytes, and the number of a fragment. */
const addressAt = 3;

/**
 * UDP ASSOCIATE (RFC 1928 section 7): a local UDP socket that lives as long as the TCP socket it was asked for on, at the
 * address where that one arrived, for datagrams of its peer's address alone. From which port is left open, since what
 * programs announce is mostly 0, and seldom right where it is not. Where a login is asked for, the first port that sends is
 * the only one: others at that address (users of this machine, neighbours behind one router) have not said it.
 */
export class SocksAssociation {
  readonly #place: ProxyPlace;
  readonly #peer: string;
  /** By the program's port and the target. */
  readonly #flows = new Map<string, ProxyFlow>();
  readonly #watch: IdleWatch<ProxyFlow>;
  #socket: DatagramSocket | undefined;
  /** Of a proxy that asks for a login: the `address:port` that it is for. */
  #only: string | undefined;
  #over = false;

  constructor(tcp: Socket, place: ProxyPlace, openDatagrams: OpenDatagrams, handler: AssociationHandler) {
    this.#place = place;
    this.#peer = hostOf(tcp.remote);
    this.#watch = new IdleWatch({
      clock: place.clock,
      idleMs: proxyLimits.flowIdleMs,
      expire: (flow: ProxyFlow) => this.#drop(flow),
    });
    const ear = { message: (bytes: Uint8Array, remote: string) => this.#fromProgram(bytes, remote) };
    openDatagrams({ host: bareHost(tcp.local) }, ear).then(
      (socket) => {
        if (this.#over) return socket.close();
        this.#socket = socket;
        handler.bound(`${hostOf(tcp.local)}:${socket.port}`);
      },
      () => {
        if (!this.#over) handler.failed();
      },
    );
  }

  /** Ends all flows. Idempotent. */
  close(): void {
    this.#over = true;
    this.#socket?.close();
    this.#watch.close();
    for (const flow of this.#flows.values()) flow.close();
    this.#flows.clear();
  }

  #fromProgram(bytes: Uint8Array, remote: string): void {
    if (this.#over || hostOf(remote) !== this.#peer) return;
    // Nobody sends fragments, and RFC 1928 lets us drop them.
    if (bytes[2] !== 0) return;
    const address = readSocksAddress(bytes, addressAt);
    if (address === undefined || address === "unknown" || address.target === undefined) return;
    if (this.#place.credentials !== undefined) this.#only ??= remote;
    if (remote !== (this.#only ?? remote)) return;
    const key = `${remote} ${address.target}`;
    const flow = this.#flows.get(key) ?? this.#open(key, address.target, remote, bytes.slice(0, address.to));
    this.#watch.touch(flow);
    flow.send(bytes.subarray(address.to));
  }

  #open(key: string, target: string, remote: string, header: Uint8Array): ProxyFlow {
    header.fill(0, 0, addressAt);
    const { longest } = this.#watch;
    if (this.#flows.size >= proxyLimits.maxFlows && longest !== undefined) this.#drop(longest);
    const flow = new ProxyFlow(key, target, this.#place, {
      came: (bytes) => {
        const isGone = this.#flows.get(key) !== flow;
        if (isGone || header.length + bytes.length > proxyLimits.maxDatagramBytes) return;
        this.#watch.touch(flow);
        const reply = new Uint8Array(header.length + bytes.length);
        reply.set(header);
        reply.set(bytes, header.length);
        this.#socket?.send(reply, remote);
      },
    });
    this.#flows.set(key, flow);
    return flow;
  }

  #drop(flow: ProxyFlow): void {
    this.#flows.delete(flow.key);
    this.#watch.drop(flow);
    flow.close();
  }
}

/** What goes between one port of the program and one target. Opened anew when the far side has ended it. */
class ProxyFlow {
  #flow: Flow | undefined;
  #bytesIn = 0;
  #bytesOut = 0;
  /** Until then nothing is asked for: it was refused. */
  #refusedUntilMs = 0;

  constructor(
    readonly key: string,
    private readonly target: string,
    private readonly place: ProxyPlace,
    private readonly handler: { came(bytes: Uint8Array): void },
  ) {}

  send(bytes: Uint8Array): void {
    if (this.#flow === undefined) {
      if (this.place.clock.now() < this.#refusedUntilMs) return;
      this.#flow = this.place.caller.udp(this.target, {
        opened() {},
        datagram: (came) => {
          this.#bytesOut += came.length;
          this.handler.came(came);
        },
        closed: (code) => {
          if (code !== undefined) this.#refusedUntilMs = this.place.clock.now() + proxyLimits.flowRefusedMs;
          this.#tell(code);
        },
      });
    }
    this.#bytesIn += bytes.length;
    this.#flow.send(bytes);
  }

  close(): void {
    const flow = this.#flow;
    if (flow === undefined) return;
    flow.close();
    this.#tell(undefined);
  }

  #tell(code: Code | undefined): void {
    const event = proxyEvent(this.target, this.#bytesIn, this.#bytesOut, code);
    this.#flow = undefined;
    this.#bytesIn = 0;
    this.#bytesOut = 0;
    this.place.onStream(event);
  }
}

/** Of `address:port`: the address, IPv6 in brackets. */
function hostOf(text: string): string {
  return text.slice(0, text.lastIndexOf(":"));
}

function bareHost(text: string): string {
  return hostOf(text).replace(/^\[(.*)\]$/, "$1");
}
