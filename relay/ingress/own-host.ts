import type { Hono } from "hono";
import type { Clock } from "../../shared/clock.ts";
import { UnderpassError } from "../../shared/errors.ts";
import type { Framing } from "../../shared/http1/framing.ts";
import { fieldValue, isNamed, type RequestHead } from "../../shared/http1/head.ts";
import { SocketSink } from "../../shared/links/event-stream-sink.ts";
import { WebSocketLink } from "../../shared/links/websocket.ts";
import type { Socket } from "../../shared/socket.ts";
import { acceptFields, checkUpgradeRequest } from "../../shared/websocket/upgrade.ts";
import { answer } from "../answers.ts";
import type { ControlEnv } from "../app.ts";
import { isEventDial, linkPath, readDial, readEventDial, subprotocol } from "../dial.ts";
import type { EventLinks } from "../event-links.ts";
import type { Reception } from "../reception.ts";
import { EventPosts, type PostWay } from "./event-posts.ts";
import { wholeAnswer } from "./whole-answer.ts";

/** Takes a whole answer. `keepAlive`: the request was read to its end, and another may follow. */
export type Answered = (bytes: Uint8Array, options: { readonly keepAlive: boolean }) => void;

export interface LinkOutcome {
  refused: Answered;
  /**
   * The head to write, a 101 or that of events; gives the socket and what has come behind the request. undefined: the agent has gone meanwhile,
   * and nothing was written.
   */
  opened(bytes: Uint8Array): { readonly socket: Socket; readonly early: Uint8Array } | undefined;
}

/** Larger bodies are no business of the control plane's. */
const maxBodyBytes = 8_192;
const problem = "application/problem+json";
/** Nothing on the way is to keep events back, or to change them. The body ends with the socket, in HTTP/1.0 too. */
const eventStreamFields = [
  ...["Content-Type", "text/event-stream", "Cache-Control", "no-store, no-transform"],
  ...["X-Accel-Buffering", "no", "Connection", "close"],
];

/** The relay's own host on raw sockets: the control plane in Hono, and the agents' links. */
export class OwnHost {
  private readonly posts: EventPosts;

  constructor(
    private readonly app: Hono<ControlEnv>,
    private readonly reception: Reception,
    private readonly clock: Clock,
    private readonly eventLinks: EventLinks,
    readonly draining: () => boolean,
  ) {
    this.posts = new EventPosts(eventLinks, (code) => reception.refused(code));
  }

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

  /** A POST of a link without WebSocket; undefined: it is none. `answered` may be called from inside. */
  post(head: RequestHead, target: string, answered: Answered): PostWay | undefined {
    return this.posts.begin(head, target, answered);
  }

  /** Whether this is a dial for a link: it may come without its upgrade. */
  isDial(head: RequestHead, target: string): boolean {
    return (
      isNamed(fieldValue(head.fields, "upgrade"), "websocket") ||
      (head.method === "GET" && linkPath(target) !== undefined)
    );
  }

  /** `/_underpass/links/NAME`: checks the dial, and hands the socket to the reception. */
  link(head: RequestHead, target: string, outcome: LinkOutcome): void {
    void this.openLink(head, target, outcome);
  }

  private async openLink(head: RequestHead, target: string, outcome: LinkOutcome): Promise<void> {
    try {
      if (isEventDial(head.fields)) await this.openEvents(head, target, outcome);
      else await this.openWebSocket(head, target, outcome);
    } catch (error) {
      const known =
        error instanceof UnderpassError
          ? error
          : new UnderpassError("internal-error", undefined, { cause: error });
      this.reception.refused(known.code);
      const { status, fields, body } = answer(known.code, { accept: problem, detail: known.message });
      // RFC 9110 section 15.5.22.
      if (status === 426) fields.push("Upgrade", "websocket", "Connection", "upgrade");
      fields.push("Connection", "close");
      outcome.refused(wholeAnswer(status, fields, body), { keepAlive: false });
    }
  }

  private async openWebSocket(head: RequestHead, target: string, outcome: LinkOutcome): Promise<void> {
    const upgrade = checkUpgradeRequest(head.fields);
    // A proxy that knows nothing of WebSockets takes some of it away, or all.
    if (typeof upgrade === "string") throw new UnderpassError("upgrade-required", upgrade);
    const { place, token } = readDial(head.fields, target);
    const admission = await this.reception.admit(place, token);
    const fields = acceptFields(upgrade.key, subprotocol);
    const opened = outcome.opened(wholeAnswer(101, fields, new Uint8Array(0)));
    if (opened === undefined) return;
    const { socket, early } = opened;
    this.reception.receive(new WebSocketLink(socket, { role: "relay", clock: this.clock, early }), admission);
  }

  private async openEvents(head: RequestHead, target: string, outcome: LinkOutcome): Promise<void> {
    const { place, token } = readEventDial(head.fields, target);
    const admission = await this.reception.admit(place, token);
    const opened = outcome.opened(wholeAnswer(200, eventStreamFields, new Uint8Array(0)));
    if (opened === undefined) return;
    this.reception.receive(this.eventLinks.open(place.name, new SocketSink(opened.socket)), admission);
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
