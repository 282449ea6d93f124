import type { Clock } from "./clock.ts";
import { type Code, codes } from "./errors.ts";
import type { Link } from "./link.ts";
import type { GoawayKind, Session } from "./mux/session.ts";
import type { Stream, StreamHandler } from "./mux/stream.ts";

/** The liveness texts of PROTOCOL.md section 2: exact, so that an edge platform answers without waking. */
export const pingText = "underpass/1 ping 8f1b2c6d-keepalive";
export const pongText = "underpass/1 pong 8f1b2c6d-keepalive";

const driverLimits = {
  /** A message is handed to the link while less than this waits there: short buffers keep small requests quick. */
  linkHighBytes: 262_144,
  /** The agent pings after so long in which nothing came. */
  pingAfterMs: 15_000,
  /** What stays silent for so long after a ping is lost. */
  pongWithinMs: 10_000,
  /** A relay gives up an agent from which nothing came for so long. */
  silenceMs: 45_000,
  /** A peer that pings but does not read is not answered without end. */
  maxPongBacklogBytes: 1_048_576,
} as const;

/** What the owner of a session on a link wants to know. */
export interface DriverHandler {
  opened(stream: Stream, fields: Uint8Array): StreamHandler | undefined;
  goaway(kind: GoawayKind, code: Code, graceMs: number, reason: string): void;
  /** The session is over (its streams were reset) and the link is closing or gone. Exactly once. */
  over(code: Code): void;
  /** The link is gone. After `over`. */
  closed(): void;
}

/** Pumps a session over a link with real time: what one turn of the loop brings leaves together. */
export class Driver {
  private scheduled = false;
  private flushing = false;
  private heardMs: number;
  private pingedMs: number | undefined;
  private cancelDeadline: (() => void) | undefined;
  private deadlineMs = Number.POSITIVE_INFINITY;
  private cancelLiveness: (() => void) | undefined;
  private gone = false;

  /** `pings`: this side asks for signs of life (the agent). Takes over `link.handler` and `session.handler`. */
  constructor(
    readonly session: Session,
    private readonly link: Link,
    private readonly clock: Clock,
    private readonly handler: DriverHandler,
    private readonly options: { readonly pings: boolean },
  ) {
    this.heardMs = clock.now();
    session.handler = {
      opened: (stream, fields) => handler.opened(stream, fields),
      wake: () => this.schedule(),
      datagram: () => {},
      goaway: (kind, code, graceMs, reason) => handler.goaway(kind, code, graceMs, reason),
      over: (code) => this.end(code),
    };
    link.handler = {
      message: (bytes) => {
        this.heardMs = clock.now();
        session.handleMessage(bytes, this.heardMs);
      },
      text: (text) => this.handleText(text),
      drained: () => this.schedule(),
      closed: () => {
        session.lost("link-lost");
        handler.closed();
      },
    };
    this.watch();
    this.schedule();
  }

  /** Says GOAWAY bye, and closes. */
  close(code: Code): void {
    this.session.goaway("bye", code, 0, codes[code].meaning);
    this.flush();
    this.session.lost(code);
  }

  private schedule(): void {
    if (this.scheduled || this.flushing) return;
    this.scheduled = true;
    // Whoever sends one request after the other need not wait for the rest of the turn.
    if (this.session.allWaiting) queueMicrotask(this.flushScheduled);
    else this.clock.soon(this.flushScheduled);
  }

  private readonly flushScheduled = (): void => {
    this.scheduled = false;
    this.flush();
  };

  private flush(): void {
    if (this.gone) return;
    const { session, link } = this;
    const nowMs = this.clock.now();
    this.flushing = true;
    while (link.queued < driverLimits.linkHighBytes) {
      const message = session.poll(nowMs);
      if (message === undefined) break;
      link.send(message);
    }
    this.flushing = false;
    this.setDeadline();
  }

  private setDeadline(): void {
    const deadlineMs = this.session.deadlineMs;
    // One that fires too early costs a poll; one is not moved for each message.
    if (deadlineMs === undefined || this.deadlineMs <= deadlineMs) return;
    this.cancelDeadline?.();
    this.deadlineMs = deadlineMs;
    this.cancelDeadline = this.clock.at(deadlineMs, () => {
      this.deadlineMs = Number.POSITIVE_INFINITY;
      this.cancelDeadline = undefined;
      this.flush();
    });
  }

  private handleText(text: string): void {
    this.heardMs = this.clock.now();
    if (text === pongText) return;
    if (text !== pingText || this.link.queued > driverLimits.maxPongBacklogBytes) {
      this.session.goaway("error", "protocol-error", 0, "");
      return;
    }
    this.link.sendText(pongText);
  }

  private watch(): void {
    const { clock, options } = this;
    const nowMs = clock.now();
    let nextMs = this.heardMs + (options.pings ? driverLimits.pingAfterMs : driverLimits.silenceMs);
    if (nextMs <= nowMs) {
      if (!options.pings || (this.pingedMs !== undefined && this.pingedMs >= this.heardMs)) {
        if (!options.pings || nowMs - (this.pingedMs ?? nowMs) >= driverLimits.pongWithinMs) {
          this.session.goaway("error", "peer-silent", 0, "");
          return;
        }
      } else {
        this.pingedMs = nowMs;
        this.link.sendText(pingText);
      }
      nextMs = (this.pingedMs ?? nowMs) + driverLimits.pongWithinMs;
    }
    this.cancelLiveness = clock.at(nextMs, () => this.watch());
  }

  private end(code: Code): void {
    if (this.gone) return;
    // A GOAWAY that says why goes first.
    if (!this.flushing) this.flush();
    this.gone = true;
    this.cancelDeadline?.();
    this.cancelLiveness?.();
    this.link.close(codes[code].close ?? 1001, code);
    this.handler.over(code);
  }
}
