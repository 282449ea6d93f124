import type { Hono } from "hono";
import type { Clock } from "../../shared/clock.ts";
import { UnderpassError } from "../../shared/errors.ts";
import type { Framing } from "../../shared/http1/framing.ts";
import { fieldValue, type RequestHead, writeResponseHead } from "../../shared/http1/head.ts";
import { encodeLatin1 } from "../../shared/http1/latin1.ts";
import { reasonPhrase } from "../../shared/http1/reasons.ts";
import { WebSocketLink } from "../../shared/links/websocket.ts";
import type { Socket } from "../../shared/socket.ts";
import { acceptFields, checkUpgradeRequest } from "../../shared/websocket/upgrade.ts";
import { answer } from "../answers.ts";
import type { ControlEnv } from "../app.ts";
import { readDial, subprotocol } from "../dial.ts";
import type { Reception } from "../reception.ts";

/** Takes a whole answer. `keepAlive`: the request was read to its end, and another may follow. */
export type Answered = (bytes: Uint8Array, options: { readonly keepAlive: boolean }) => void;

export interface LinkOutcome {
  refused: Answered;
  /**
   * The 101 to write; gives the socket and what has come behind the request. undefined: the agent has gone meanwhile,
   * and nothing was written.
   */
  opened(bytes: Uint8Array): { readonly socket: Socket; readonly early: Uint8Array } | undefined;
}

/** Larger bodies are no business of the control plane's. */
const maxBodyBytes = 8_192;
const problem = "application/problem+json";

/** The relay's own host on raw sockets: the control plane in Hono, and the agents' links. */
export class OwnHost {
  constructor(
    private readonly app: Hono<ControlEnv>,
    private readonly reception: Reception,
    private readonly clock: Clock,
    readonly draining: () => boolean,
  ) {}

  /** Returns what takes the body: chunks, then undefined at its end. One that never ends is never answered. */
  request(
    head: RequestHead,
    framing: Framing,
    target: string,
    remote: string,
    answered: Answered,
  ): (bytes: Uint8Array | undefined) => void {
    let body = new Uint8Array(0);
    let size = 0;
    let over = false;
    return (bytes) => {
      if (over) return;
      if (bytes !== undefined && size + bytes.length <= maxBodyBytes) {
        // One buffer that grows: pieces of a byte each would cost a hundred times what they hold.
        if (size + bytes.length > body.length) {
          const larger = new Uint8Array(Math.min(maxBodyBytes, Math.max(1_024, (size + bytes.length) * 2)));
          larger.set(body.subarray(0, size));
          body = larger;
        }
        body.set(bytes, size);
        size += bytes.length;
        return;
      }
      over = true;
      if (bytes === undefined) {
        const whole = framing.kind === "none" ? undefined : new Blob([body.subarray(0, size)]);
        void this.respond(head, target, remote, whole, answered);
        return;
      }
      this.reception.refused("body-too-large");
      const { status, fields, body: text } = answer("body-too-large", { accept: problem });
      fields.push("Connection", "close");
      answered(wholeAnswer(status, fields, text), { keepAlive: false });
    };
  }

  /** `/_underpass/links/NAME`: checks the dial, and hands the socket to the reception. */
  link(head: RequestHead, target: string, outcome: LinkOutcome): void {
    void this.openLink(head, target, outcome);
  }

  private async openLink(head: RequestHead, target: string, outcome: LinkOutcome): Promise<void> {
    try {
      const upgrade = checkUpgradeRequest(head.fields);
      if (typeof upgrade === "string") throw new UnderpassError("bad-request", upgrade);
      const { name, session, token } = readDial(head.fields, target);
      const admission = await this.reception.admit(name, token, session);
      const fields = acceptFields(upgrade.key, subprotocol);
      const opened = outcome.opened(
        encodeLatin1(
          `${writeResponseHead({ status: 101, reason: reasonPhrase(101), minor: 1, fields })}\r\n`,
        ),
      );
      if (opened === undefined) return;
      const { socket, early } = opened;
      this.reception.receive(
        new WebSocketLink(socket, { role: "relay", clock: this.clock, early }),
        admission,
      );
    } catch (error) {
      const known =
        error instanceof UnderpassError
          ? error
          : new UnderpassError("internal-error", undefined, { cause: error });
      this.reception.refused(known.code);
      const { status, fields, body } = answer(known.code, { accept: problem, detail: known.message });
      fields.push("Connection", "close");
      outcome.refused(wholeAnswer(status, fields, body), { keepAlive: false });
    }
  }

  private async respond(
    head: RequestHead,
    target: string,
    remote: string,
    body: Blob | undefined,
    answered: Answered,
  ): Promise<void> {
    const host = fieldValue(head.fields, "host") ?? "localhost";
    let response: Response;
    try {
      const headers = new Headers();
      for (let i = 0; i + 1 < head.fields.length; i += 2)
        headers.append(head.fields[i] ?? "", head.fields[i + 1] ?? "");
      const withBody = body !== undefined && head.method !== "GET" && head.method !== "HEAD";
      const request = new Request(`http://${host}${target}`, {
        method: head.method,
        headers,
        ...(withBody && { body: body.stream() }),
      });
      response = await this.app.fetch(request, { remote });
    } catch {
      // What Fetch can't carry (TRACE, a host that is no URL's) the control plane has no use for.
      response = new Response(null, { status: 400, headers: { "Underpass-Error": "bad-request" } });
    }
    const bytes = new Uint8Array(await response.arrayBuffer());
    const asked = fieldValue(head.fields, "connection")?.toLowerCase();
    const keepAlive = head.minor === 1 && asked?.includes("close") !== true && !this.draining();
    const fields: string[] = [];
    for (const [name, value] of response.headers) if (name !== "content-length") fields.push(name, value);
    fields.push("Content-Length", String(bytes.length));
    if (!keepAlive) fields.push("Connection", "close");
    answered(wholeAnswer(response.status, fields, head.method === "HEAD" ? new Uint8Array(0) : bytes), {
      keepAlive,
    });
  }
}

function wholeAnswer(status: number, fields: string[], body: Uint8Array): Uint8Array {
  const head = encodeLatin1(
    `${writeResponseHead({ status, reason: reasonPhrase(status), minor: 1, fields })}\r\n`,
  );
  const whole = new Uint8Array(head.length + body.length);
  whole.set(head);
  whole.set(body, head.length);
  return whole;
}
