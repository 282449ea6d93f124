import type { Clock } from "../clock.ts";
import { type Code, codes, goawayCode, UnderpassError } from "../errors.ts";
import { type Hello, readWelcome, type Welcome, writeGoaway, writeHello } from "../handshake.ts";
import type { Link } from "../link.ts";
import type { GiveUp } from "./place.ts";

/**
 * Opens a link under the tunnel's name; `session`: the id of the one to resume. Exactly one call of `done`, never from
 * inside. Returns what gives up.
 */
export type OpenLink = (session: string | undefined, done: (result: Link | UnderpassError) => void) => GiveUp;

/** A link is gone, or dead, that nobody wanted to go; `carried`: more than a handshake. */
export type LinkLost = (link: Link, options: { readonly carried: boolean }) => void;

/** A link on which the relay has said WELCOME. Its handler is to be set at once. */
export interface Greeted {
  readonly link: Link;
  readonly hello: Hello;
  readonly welcome: Welcome;
  /** From HELLO to WELCOME. */
  readonly tripMs: number;
}

export interface GreetingOptions {
  readonly clock: Clock;
  readonly openLink: OpenLink;
  readonly linkLost?: LinkLost | undefined;
  /** The HELLO, made when the link is open: its counts are of that moment. */
  readonly hello: () => Hello;
  readonly session?: string;
  /** For the dial and the handshake together. */
  readonly limitMs?: number;
}

/** WELCOME must come within this time of the HELLO (PROTOCOL.md section 1). */
const handshakeTimeoutMs = 10_000;

/** One dial and its handshake. `done` is called once, unless `cancel` comes before. */
export class Greeting {
  /** HELLO has left: the relay may have acted on it. */
  said = false;
  #over = false;
  #giveUp: GiveUp;
  /** Once HELLO has left on it. */
  #link: Link | undefined;
  #cancelTimer: () => void = () => {};
  #cancelLimit: () => void = () => {};

  constructor(options: GreetingOptions, done: (result: Greeted | UnderpassError) => void) {
    const { clock, limitMs } = options;
    if (limitMs !== undefined) {
      this.#cancelLimit = clock.at(clock.now() + limitMs, () => {
        if (this.#over) return;
        if (this.#link !== undefined) options.linkLost?.(this.#link, { carried: false });
        this.#end();
        this.#giveUp("late");
        done(new UnderpassError("handshake-timeout"));
      });
    }
    this.#giveUp = options.openLink(options.session, (result) => {
      if (this.#over) {
        if (!(result instanceof UnderpassError)) result.destroy();
      } else if (result instanceof UnderpassError) {
        this.#over = true;
        this.#cancelLimit();
        done(result);
      } else this.#shakeHands(result, options, done);
    });
  }

  /** Gives up. A link that is open is dropped; `bye`: after a goodbye, as the relay may have acted on the HELLO. */
  cancel({ bye }: { readonly bye: boolean } = { bye: false }): void {
    if (this.#over) return;
    this.#end();
    if (bye && this.#link !== undefined) {
      this.#link.send(writeGoaway("bye", "goodbye"));
      this.#link.close(codes.goodbye.close ?? 1000, "goodbye");
    } else this.#giveUp();
  }

  #end(): void {
    this.#over = true;
    this.#cancelTimer();
    this.#cancelLimit();
  }

  #shakeHands(
    link: Link,
    { clock, hello: makeHello, linkLost }: GreetingOptions,
    done: (result: Greeted | UnderpassError) => void,
  ): void {
    const end = (result: Greeted | UnderpassError): void => {
      if (this.#over) return;
      this.#end();
      done(result);
    };
    const lost = (): void => {
      if (!this.#over) linkLost?.(link, { carried: false });
    };
    const fail = (code: Code): void => {
      if (this.#over) return;
      link.send(writeGoaway("error", code));
      link.close(codes[code].close ?? 1002, code);
      end(new UnderpassError(code));
    };
    this.#giveUp = () => link.destroy();
    this.#cancelTimer = clock.at(clock.now() + handshakeTimeoutMs, () => {
      lost();
      fail("handshake-timeout");
    });
    const helloMs = clock.now();
    const hello = makeHello();
    link.handler = {
      heard() {},
      message: (bytes) => {
        const result = readWelcome(bytes);
        if (result.kind === "goaway") {
          const code = goawayCode(result.wire);
          // HELLO has not come through: that is the way's doing.
          if (code === "handshake-timeout") lost();
          link.close(codes[code].close ?? 1002, code);
          end(new UnderpassError(code));
        } else if (result.kind === "fault") fail(result.code);
        else end({ link, hello, welcome: result.value, tripMs: clock.now() - helloMs });
      },
      text: () => fail("protocol-error"),
      drained() {},
      closed: () => {
        lost();
        end(new UnderpassError("link-lost", "The relay closed the link before it said WELCOME."));
      },
    };
    this.said = true;
    this.#link = link;
    link.send(writeHello(hello));
  }
}
