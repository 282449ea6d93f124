import type { connect } from "cloudflare:sockets";
import type { Gauge } from "../../shared/mux/gauge.ts";
import { addressText } from "../../shared/runtimes/socket-facts.ts";
import type { Dial, DialFailure, DialTarget } from "../../shared/socket.ts";
import { DialledSocket } from "./dialled-socket.ts";

export interface WorkersSocketLimits {
  readonly maxSockets: number;
  /** See DialledSocket. */
  readonly lingerMs: number;
}

/** `maxSockets` is the platform's own limit for one object: a seventh would wait inside of it, nobody knows how long. */
const socketLimits: WorkersSocketLimits = { maxSockets: 6, lingerMs: 10_000 };

/** What became of a dial. */
type Outcome = { readonly socket: DialledSocket } | { readonly reason: DialFailure; readonly detail: string };

/** The outgoing sockets of one object, by the platform's `connect`. Host and port only; all go out without TLS. */
export class WorkersSockets {
  readonly #connect: typeof connect;
  readonly #limits: WorkersSocketLimits;
  readonly #held: Gauge | undefined;
  /** Open, being opened (given up or not), or not closed to the end. */
  #taken = 0;

  /** `held`: counts what is queued in all of them. */
  constructor(platformConnect: typeof connect, limits = socketLimits, held?: Gauge) {
    this.#held = held;
    this.#connect = platformConnect;
    this.#limits = limits;
  }

  /** The next dial would fail with `no-socket`. */
  get isFull(): boolean {
    return this.#taken >= this.#limits.maxSockets;
  }

  readonly dial: Dial = (target, timeoutMs, handler) => {
    let isOver = false;
    const settle = (): boolean => {
      if (isOver) return false;
      isOver = true;
      clearTimeout(timer);
      return true;
    };
    const timer = setTimeout(() => {
      if (settle()) handler.failed("timeout", `No answer within ${timeoutMs} ms.`);
    }, timeoutMs);
    void this.#open(target).then((outcome) => {
      if ("reason" in outcome) {
        if (settle()) handler.failed(outcome.reason, outcome.detail);
        return;
      }
      // The platform can't give a dial up: what opens too late is closed then.
      if (!settle()) outcome.socket.destroy();
      else {
        handler.opened(outcome.socket);
        outcome.socket.begin();
      }
    });
    return settle;
  };

  async #open({ host = "", port = 0, unix, tls }: DialTarget): Promise<Outcome> {
    if (unix !== undefined || tls !== undefined)
      return { reason: "failed", detail: "Only plain TCP is dialled here." };
    if (this.isFull) return { reason: "no-socket", detail: `${this.#taken} sockets are open already.` };
    this.#taken++;
    try {
      const hostname = host.includes(":") ? `[${host}]` : host;
      const raw = this.#connect({ hostname, port }, { allowHalfOpen: true, secureTransport: "off" });
      // Told by `opened` as well.
      raw.closed.catch(() => {});
      await raw.opened;
      const { lingerMs } = this.#limits;
      const gone = () => this.#taken--;
      return { socket: new DialledSocket(raw, addressText(host, port), lingerMs, gone, this.#held) };
    } catch (error) {
      this.#taken--;
      // Whatever the reason: the platform has one text for all.
      return { reason: "failed", detail: error instanceof Error ? error.message : String(error) };
    }
  }
}
