import type { Clock } from "../../shared/clock.ts";
import type { Code } from "../../shared/errors.ts";
import type { Socket, SocketHandler } from "../../shared/socket.ts";
import { type Alert, alerts } from "../../shared/tls/alert.ts";
import { ClientHelloReader } from "../../shared/tls/client-hello-reader.ts";
import type { Router } from "../router.ts";
import { sayFarewell, tlsAlert } from "./tls-farewell.ts";

export interface TlsIngressDeps {
  readonly clock: Clock;
  readonly router: Pick<Router, "tunnelOf">;
  readonly metrics: { refused(code: Code): void };
  /**
   * Takes a visitor to the agent of tunnel `name`; `first` is all that he has sent, unchanged. Returns the code of a
   * refusal, which it has counted: then the socket is still the caller's.
   */
  readonly carry: (name: string, socket: Socket, first: Uint8Array) => Code | undefined;
}

export const tlsLimits = {
  /** From the opening of the socket to the ClientHello's last byte. A real one is a packet or two, and comes at once. */
  helloWithinMs: 10_000,
  /** Sockets of which the tunnel is not known yet, and those that were refused and have not gone yet. */
  maxWaiting: 8_192,
  /** Of ClientHellos that are not complete: those of a thousand who send 16 KiB and no more. */
  maxHeldBytes: 16_777_216,
} as const;

/** Visitors of tls tunnels, all on one port: the server name of the ClientHello says whose each is. Nothing is decrypted. */
export class TlsIngress {
  readonly #deps: TlsIngressDeps;
  /** The oldest first. */
  readonly #waiting = new Set<TlsVisitor>();
  #heldBytes = 0;

  constructor(deps: TlsIngressDeps) {
    this.#deps = deps;
  }

  /** Sockets that have no tunnel yet, or never will. */
  get waiting(): number {
    return this.#waiting.size;
  }

  accept(socket: Socket): void {
    if (this.#waiting.size >= tlsLimits.maxWaiting) this.#dropOldest();
    const { clock, metrics } = this.#deps;
    const visitor = new TlsVisitor(socket, {
      held: (bytes) => {
        this.#heldBytes += bytes;
        while (this.#heldBytes > tlsLimits.maxHeldBytes && this.#dropOldest());
      },
      came: (sni, first) => this.#route(visitor, sni, first),
      failed: (code, alert) => {
        metrics.refused(code);
        this.#dismiss(visitor, alert);
      },
      gone: () => this.#waiting.delete(visitor),
    });
    this.#waiting.add(visitor);
    visitor.listen(clock);
  }

  /** Ends all that has no tunnel yet. What was carried is its carrier's. */
  close(): void {
    for (const { socket } of this.#waiting) socket.destroy();
  }

  #route(visitor: TlsVisitor, sni: string | undefined, first: Uint8Array): void {
    const { router, metrics, carry } = this.#deps;
    const name = sni === undefined ? undefined : router.tunnelOf(sni);
    if (name === undefined) metrics.refused("unknown-host");
    const refusal = name === undefined ? "unknown-host" : carry(name, visitor.socket, first);
    if (refusal === undefined) this.#waiting.delete(visitor);
    else this.#dismiss(visitor, tlsAlert(refusal));
  }

  #dismiss(visitor: TlsVisitor, alert: Alert | undefined): void {
    sayFarewell(visitor.socket, alert, this.#deps.clock, () => this.#waiting.delete(visitor));
  }

  /** Who is slow makes room, not who has just come: so a flood of silent sockets keeps out nobody who speaks at once. */
  #dropOldest(): boolean {
    const [oldest] = this.#waiting;
    if (oldest === undefined) return false;
    this.#waiting.delete(oldest);
    oldest.forget();
    oldest.socket.destroy();
    return true;
  }
}

interface VisitorEvents {
  /** So many bytes more (or less) are held for him. */
  held(bytes: number): void;
  came(sni: string | undefined, first: Uint8Array): void;
  /** What came is no ClientHello, or not all of one, or not in time. */
  failed(code: Code, alert: Alert | undefined): void;
  gone(): void;
}

/** One socket until its ClientHello is complete. */
class TlsVisitor implements SocketHandler {
  readonly #reader = new ClientHelloReader();
  #heldBytes = 0;
  #cancel = () => {};

  constructor(
    readonly socket: Socket,
    private readonly events: VisitorEvents,
  ) {}

  listen(clock: Clock): void {
    this.socket.handler = this;
    this.#cancel = clock.at(clock.now() + tlsLimits.helloWithinMs, () => {
      this.forget();
      this.events.failed("request-timeout", undefined);
    });
  }

  /** No longer waits for the hello, and holds nothing. Idempotent. */
  forget(): void {
    this.#cancel();
    this.#hold(0);
  }

  data(bytes: Uint8Array): void {
    const result = this.#reader.push(bytes);
    if (result === undefined) return this.#hold(this.#reader.heldBytes);
    this.forget();
    if (result.kind === "hello") this.events.came(result.sni, result.bytes);
    else this.events.failed("request-invalid", result.alert);
  }

  drained(): void {}

  /** Who has said nothing needs no answer: a health check, a scan. */
  ended(): void {
    const alert = this.#reader.heldBytes > 0 ? alerts.decodeError : undefined;
    this.forget();
    this.events.failed("request-invalid", alert);
  }

  closed(): void {
    this.forget();
    this.events.gone();
  }

  #hold(bytes: number): void {
    const more = bytes - this.#heldBytes;
    this.#heldBytes = bytes;
    if (more !== 0) this.events.held(more);
  }
}
