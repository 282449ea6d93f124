import { closeQuietly, type MessageSocket } from "../../shared/links/message-socket.ts";
import { answerResponse } from "../ingress/fetch.ts";

/** The states of a WebSocket (WHATWG). */
const connecting = 0;
const open = 1;
/** Nothing was said (RFC 6455 section 7.4.1): a close without a code. */
const noCode = 1005;

/**
 * Deno upgrades a request when its answer is given, and a while later the WebSocket opens. So an answer 101 is promised
 * here first, with a socket that keeps what is sent until then: a page of the visitor's, a few messages at most.
 */
export class DenoUpgrades {
  readonly #promised = new WeakMap<Response, OpeningSocket>();

  /** `headers`: of the 101, but for those of the handshake itself. */
  promise(headers: Headers): { readonly socket: MessageSocket; readonly response: Response } {
    // A Response must not say 101 (Fetch standard); nobody gets to see this one.
    const response = new Response(null, { status: 204, headers });
    const socket = new OpeningSocket();
    this.#promised.set(response, socket);
    return { socket, response };
  }

  /** The answer to give: the one that was made, or the upgrade that it promised, or a refusal where Deno takes it for none. */
  keep(request: Request, answer: Response): Response {
    const socket = this.#promised.get(answer);
    if (socket === undefined) return answer;
    const { headers } = answer;
    const protocol = headers.get("sec-websocket-protocol") ?? undefined;
    try {
      const upgrade = Deno.upgradeWebSocket(request, {
        // Links have liveness of their own, and the relay says nothing to a visitor that his service does not say.
        idleTimeout: 0,
        ...(protocol !== undefined && { protocol }),
      });
      for (const [name, value] of headers)
        if (name !== "sec-websocket-protocol") upgrade.response.headers.append(name, value);
      socket.becomes(upgrade.socket);
      return upgrade.response;
    } catch (error) {
      socket.fails();
      const detail = error instanceof Error ? error.message : String(error);
      return answerResponse("request-invalid", { detail }, request.method);
    }
  }
}

type Sent = Parameters<MessageSocket["send"]>[0];
type Listening = Parameters<MessageSocket["addEventListener"]>;

/** A WebSocket that looks open from the beginning: what is sent, and a close, wait until it is. */
class OpeningSocket implements MessageSocket {
  binaryType = "arraybuffer";
  #socket: WebSocket | undefined;
  readonly #listening: Listening[] = [];
  #waiting: Sent[] = [];
  #waitingBytes = 0;
  #closing: { readonly code: number; readonly reason: string } | undefined;

  get readyState(): MessageSocket["readyState"] {
    const state = this.#socket?.readyState ?? connecting;
    return state === connecting ? open : (state as MessageSocket["readyState"]);
  }

  get bufferedAmount(): number {
    return this.#waitingBytes + (this.#socket?.bufferedAmount ?? 0);
  }

  addEventListener(...listening: Listening): void {
    this.#listening.push(listening);
  }

  send(data: Sent): void {
    if (this.#socket?.readyState === open) {
      this.#socket.send(data);
      return;
    }
    this.#waiting.push(data);
    this.#waitingBytes += sizeOf(data);
  }

  close(code = noCode, reason = ""): void {
    if (this.#socket?.readyState === open) closeQuietly(this.#socket, code, reason);
    else this.#closing ??= { code, reason };
  }

  /** The answer is given: this is what it opens. */
  becomes(socket: WebSocket): void {
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    for (const listening of this.#listening) socket.addEventListener(...listening);
    socket.addEventListener("open", () => {
      for (const data of this.#waiting) socket.send(data);
      this.#waiting = [];
      this.#waitingBytes = 0;
      if (this.#closing !== undefined) closeQuietly(socket, this.#closing.code, this.#closing.reason);
    });
  }

  /** There will be no socket. */
  fails(): void {
    const nobody = new EventTarget();
    for (const listening of this.#listening) nobody.addEventListener(...listening);
    nobody.dispatchEvent(new Event("error"));
  }
}

function sizeOf(data: Sent): number {
  if (typeof data === "string") return data.length;
  return data instanceof Blob ? data.size : data.byteLength;
}
