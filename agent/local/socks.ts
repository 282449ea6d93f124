import type { Code } from "../../shared/errors.ts";
import type { PipeEnd } from "../../shared/pipe.ts";
import type { Socket } from "../../shared/socket.ts";
import { SocketEnd, type Splice, splice } from "../../shared/splice.ts";
import { ProxyCall } from "./proxy-call.ts";
import { loginMatches } from "./proxy-credentials.ts";
import { EarlyBytes } from "./proxy-early.ts";
import { proxyLimits } from "./proxy-limits.ts";
import { type ProxyPlace, type ProxyTalk, proxyEvent } from "./proxy-place.ts";
import { writeSocksAddress } from "./socks-address.ts";
import { SocksAssociation } from "./socks-association.ts";
import { SocksReader, type SocksRequest } from "./socks-reader.ts";

/** RFC 1928 sections 3, 4 and 6, RFC 1929. */
const methods = { none: 0, login: 2, unacceptable: 0xff } as const;
const commands = { connect: 1, associate: 3 } as const;
const replies = {
  succeeded: 0,
  failed: 1,
  denied: 2,
  unreachable: 4,
  refused: 5,
  expired: 6,
  noSuchCommand: 7,
  noSuchAddress: 8,
} as const;
type Reply = keyof typeof replies;

/** A call that failed, as SOCKS tells it; all others are `failed`. */
const replyOf: Readonly<Partial<Record<Code, Reply>>> = {
  "origin-refused": "refused",
  "origin-unreachable": "unreachable",
  "origin-not-found": "unreachable",
  "origin-timeout": "expired",
  "egress-denied": "denied",
};

type State =
  | "methods"
  | "login"
  | "request"
  | "request4"
  | "calling"
  | "through"
  | "associated"
  | "lingering";

/** A program that speaks SOCKS5 (RFC 1928), or SOCKS4 and 4a, on a local socket. */
export class SocksTalk implements ProxyTalk {
  deadlineMs: number;
  readonly #socket: Socket;
  readonly #place: ProxyPlace;
  readonly #reader = new SocksReader();
  #state: State;
  #target = "";
  #call: ProxyCall | undefined;
  #splice: Splice | undefined;
  #association: SocksAssociation | undefined;
  readonly #version: 4 | 5;
  /** What came after the request, before the reply. */
  readonly #early = new EarlyBytes();
  #halfClosed = false;
  #lingeredBytes = 0;

  constructor(socket: Socket, version: 4 | 5, place: ProxyPlace) {
    this.#socket = socket;
    this.#place = place;
    this.#version = version;
    this.#state = version === 5 ? "methods" : "request4";
    this.deadlineMs = place.clock.now() + proxyLimits.handshakeMs;
    socket.handler = this;
  }

  get busy(): boolean {
    return this.#state === "calling" || this.#state === "through" || this.#state === "associated";
  }

  timeOut(): void {
    this.#socket.destroy();
  }

  destroy(): void {
    if (this.#splice !== undefined) this.#splice.abort("cancelled");
    else this.#socket.destroy();
  }

  // From the socket.

  data(bytes: Uint8Array): void {
    switch (this.#state) {
      case "calling":
        this.#keep(bytes);
        return;
      case "lingering":
        this.#lingeredBytes += bytes.length;
        if (this.#lingeredBytes > proxyLimits.maxLingerBytes) this.#socket.destroy();
        return;
      case "associated":
      case "through":
        return;
      default:
        this.#reader.push(bytes);
        while (this.#advance());
    }
  }

  drained(): void {}

  ended(): void {
    this.#halfClosed = true;
    // An association lives as long as its socket; and half a handshake never becomes a whole one.
    if (this.#state !== "calling") this.#linger();
  }

  closed(): void {
    if (this.#state === "calling") {
      this.#call?.cancel();
      this.#tell(0, 0, "cancelled");
    }
    this.#association?.close();
    this.#place.forget(this.#socket);
  }

  /** Takes one message of the handshake. false: the next one is not there yet, or none is expected. */
  #advance(): boolean {
    switch (this.#state) {
      case "methods":
        return this.#chooseMethod();
      case "login":
        return this.#checkLogin();
      case "request":
      case "request4": {
        const request = this.#state === "request" ? this.#reader.request() : this.#reader.request4();
        if (request === "unknown") this.#refuse("noSuchAddress");
        else if (request === "wrong") this.#linger();
        else if (request !== undefined) this.#serve(request);
        return false;
      }
      default:
        return false;
    }
  }

  #chooseMethod(): boolean {
    const offered = this.#reader.methods();
    if (offered === undefined) return false;
    if (offered === "wrong") {
      this.#linger();
      return false;
    }
    const { credentials } = this.#place;
    // Who offers a login alone gets through with any, where none is asked for.
    const without = credentials === undefined && offered.includes(methods.none);
    const chosen = without ? methods.none : offered.includes(methods.login) ? methods.login : undefined;
    this.#socket.write(Uint8Array.of(5, chosen ?? methods.unacceptable));
    if (chosen === undefined) this.#linger();
    else this.#state = chosen === methods.login ? "login" : "request";
    return chosen !== undefined;
  }

  #checkLogin(): boolean {
    const login = this.#reader.login();
    if (login === undefined) return false;
    const { credentials } = this.#place;
    const right = login !== "wrong" && (credentials === undefined || loginMatches(login, credentials));
    this.#socket.write(Uint8Array.of(1, right ? 0 : 1));
    if (right) this.#state = "request";
    else this.#linger();
    return right;
  }

  #serve({ command, target }: SocksRequest): void {
    // SOCKS4 knows a user, and no password.
    if (this.#version === 4 && this.#place.credentials !== undefined) this.#refuse("denied");
    else if (command === commands.connect) {
      if (target === undefined) this.#refuse("unreachable");
      else this.#connect(target);
    } else if (command === commands.associate && this.#version === 5) this.#associate();
    else this.#refuse("noSuchCommand");
  }

  #connect(target: string): void {
    this.#state = "calling";
    this.deadlineMs = Number.POSITIVE_INFINITY;
    this.#target = target;
    this.#call = new ProxyCall(this.#place.caller, target, {
      opened: (far) => this.#opened(far),
      failed: (code) => {
        this.#tell(0, 0, code);
        this.#refuse(replyOf[code] ?? "failed");
      },
    });
    const { rest } = this.#reader;
    if (rest.length > 0) this.#keep(rest);
  }

  #opened(far: PipeEnd): void {
    this.#state = "through";
    this.#reply("succeeded", "");
    this.#socket.resume();
    const near = new SocketEnd(this.#socket, { broken: "cancelled", first: this.#early.take() });
    this.#splice = splice(near, far, ({ forth, back, code }) => {
      this.#tell(forth, back, code);
      this.#place.forget(this.#socket);
    });
    if (this.#halfClosed) near.ended();
  }

  #associate(): void {
    const { openDatagrams } = this.#place;
    if (openDatagrams === undefined) {
      this.#refuse("noSuchCommand");
      return;
    }
    this.#state = "associated";
    this.deadlineMs = Number.POSITIVE_INFINITY;
    this.#association = new SocksAssociation(this.#socket, this.#place, openDatagrams, {
      bound: (address) => this.#reply("succeeded", address),
      failed: () => this.#refuse("failed"),
    });
  }

  #keep(bytes: Uint8Array): void {
    this.#early.push(bytes);
    if (this.#early.length > proxyLimits.maxEarlyBytes) this.#socket.pause();
  }

  #refuse(reply: Reply): void {
    this.#reply(reply, "");
    this.#linger();
  }

  #reply(reply: Reply, bound: string): void {
    this.#socket.write(
      this.#version === 5
        ? Uint8Array.of(5, replies[reply], 0, ...writeSocksAddress(bound))
        : Uint8Array.of(0, reply === "succeeded" ? 0x5a : 0x5b, 0, 0, 0, 0, 0, 0),
    );
  }

  /** FIN after what was written; what the program still sends is dropped for a while, so that it gets to read the reply. */
  #linger(): void {
    this.#state = "lingering";
    this.deadlineMs = this.#place.clock.now() + proxyLimits.lingerMs;
    this.#early.take();
    this.#association?.close();
    this.#socket.resume();
    this.#socket.end();
  }

  #tell(bytesIn: number, bytesOut: number, code: Code | undefined): void {
    this.#place.onStream(proxyEvent(this.#target, bytesIn, bytesOut, code));
  }
}
