import type { Clock } from "../shared/clock.ts";
import type { HeldSession } from "../shared/dial/held-session.ts";
import type { Code } from "../shared/errors.ts";
import { encodeHead } from "../shared/head.ts";
import { Hold } from "../shared/hold.ts";
import { streamKinds } from "../shared/kind.ts";
import type { Stream, StreamHandler } from "../shared/mux/stream.ts";
import type { PassageDeps, Way } from "../shared/passage.ts";
import { PassageEnd } from "../shared/passage-end.ts";
import type { PipeEnd } from "../shared/pipe.ts";
import { isQuicker } from "../shared/quickest.ts";
import type { Caller, Flow, FlowHandler } from "./caller.ts";

export interface OutgoingOptions {
  readonly clock: Clock;
  /** The sessions of the pool. */
  readonly sessions: () => Iterable<HeldSession>;
  /** The agent goes on dialling. */
  readonly isAlive: () => boolean;
}

/** All wait in one queue: there is one relay. */
const queueName = "relay";

/** Streams that this agent opens: on the session that will answer soonest, or when there is one again. */
export class Outgoing implements Caller {
  readonly #options: OutgoingOptions;
  readonly #deps: PassageDeps;
  readonly #ways: { readonly tcp: Way; readonly udp: Way };

  constructor(options: OutgoingOptions) {
    this.#options = options;
    const { clock } = options;
    const metrics = { streams: 0, streamsOpen: 0, held: 0, holds: 0, holdsExpired: 0 };
    this.#deps = { clock, metrics, hold: new Hold({ clock, metrics }) };
    this.#ways = { tcp: this.#way(streamKinds.tcp), udp: this.#way(streamKinds.udp) };
  }

  tcp(target: string | undefined, opened: () => void): PipeEnd {
    const far = new PassageEnd(this.#deps, this.#ways.tcp, opened);
    const refusal = far.start(encodeHead({ ...(target !== undefined && { target }) }));
    // Whoever asked has set no handler yet.
    if (refusal !== undefined) this.#options.clock.soon(() => far.handler.aborted(refusal));
    return far;
  }

  udp(target: string, handler: FlowHandler): Flow {
    const { clock } = this.#options;
    let over = false;
    const close = (code: Code | undefined): void => {
      if (over) return;
      over = true;
      handler.closed(code);
    };
    const broken = (): void => {
      stream?.reset("stream-state");
      close("stream-state");
    };
    const stream = this.#ways.udp.open(encodeHead({ target }), {
      head: () => handler.opened(),
      data: broken,
      end() {
        stream?.end();
        close(undefined);
      },
      left() {},
      reset: close,
      writable() {},
      datagram(payload) {
        if (!over) handler.datagram(payload);
      },
    });
    if (stream === undefined) clock.soon(() => close("agent-offline"));
    return {
      send: (bytes) => stream?.datagram(bytes),
      close() {
        over = true;
        stream?.end();
      },
    };
  }

  /** A session has a link again, or none will have one any more. */
  tryAgain(): void {
    this.#deps.hold.tryAgain(queueName);
  }

  #way(kind: number): Way {
    const open = (fields: Uint8Array, handler: StreamHandler) => this.#open(kind, fields, handler);
    const best = () => this.#best();
    const { isAlive } = this.#options;
    return {
      name: queueName,
      open,
      get reachable() {
        return best() !== undefined;
      },
      get expected() {
        return isAlive();
      },
      isPatient: true,
      refusal: "link-lost",
    };
  }

  #open(kind: number, fields: Uint8Array, handler: StreamHandler): Stream | undefined {
    const best = this.#best();
    const stream = best?.driver.session.open(kind, fields, handler);
    if (best === undefined || stream !== undefined) return stream;
    // It has as many as it may: any other will do.
    for (const { driver } of this.#options.sessions()) {
      if (driver === best.driver || !driver.isUp || driver.session.leaving) continue;
      const other = driver.session.open(kind, fields, handler);
      if (other !== undefined) return other;
    }
    return undefined;
  }

  #best(): HeldSession | undefined {
    let best: HeldSession | undefined;
    for (const session of this.#options.sessions()) {
      const { driver } = session;
      if (!driver.isUp || driver.session.leaving) continue;
      if (best === undefined || isQuicker(driver, best.driver)) best = session;
    }
    return best;
  }
}
