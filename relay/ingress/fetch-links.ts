import { UnderpassError } from "../../shared/errors.ts";
import type { Link } from "../../shared/link.ts";
import type { Memory } from "../../shared/mux/memory.ts";
import { checkUpgradeRequest } from "../../shared/websocket/upgrade.ts";
import { isEventDial, readDial, readEventDial, subprotocol } from "../dial.ts";
import type { EventLinks } from "../event-links.ts";
import type { RelayLog } from "../log.ts";
import type { Reception } from "../reception.ts";
import { answerResponse } from "./fetch.ts";
import type { FetchHead } from "./fetch-head.ts";
import type { FetchPlatform } from "./fetch-platform.ts";
import { FetchSink } from "./fetch-sink.ts";

export interface FetchLinksDeps {
  readonly log: RelayLog;
  readonly platform: FetchPlatform;
  /** Accepts an upgrade: the link, and the 101 that gives the agent its end. */
  readonly openLink: (headers: Headers) => { readonly link: Link; readonly response: Response };
  readonly reception: Reception;
  readonly eventLinks: EventLinks;
  readonly memory: Memory;
  /** An agent may have its link; this is how it called. */
  readonly admitted: (request: Request) => void;
}

/** Nothing on the way is to keep events back, or to change them. */
const eventFields = {
  "Content-Type": "text/event-stream",
  "Cache-Control": "no-store, no-transform",
  "X-Accel-Buffering": "no",
} as const;

/** Agents that dial, where the platform speaks Request and Response: a WebSocket, or events and POSTs. */
export class FetchLinks {
  constructor(private readonly deps: FetchLinksDeps) {}

  /** Answers a dial. Never rejects. */
  async dial(request: Request, read: FetchHead): Promise<Response> {
    const { log, reception } = this.deps;
    try {
      return isEventDial(read.head.fields)
        ? await this.openEvents(request, read)
        : await this.openWebSocket(request, read);
    } catch (error) {
      if (!(error instanceof UnderpassError)) log.write({ event: "fault", message: String(error) });
      const { code, message } =
        error instanceof UnderpassError ? error : new UnderpassError("internal-error");
      reception.refused(code);
      const context = { accept: "application/problem+json", detail: message };
      return answerResponse(code, context, request.method);
    }
  }

  private async openWebSocket(request: Request, { head }: FetchHead): Promise<Response> {
    const { openLink, reception, admitted } = this.deps;
    const upgrade = checkUpgradeRequest(head.fields);
    // A proxy that knows nothing of WebSockets takes some of it away, or all.
    if (typeof upgrade === "string") throw new UnderpassError("upgrade-required", upgrade);
    const { place, token } = readDial(head.fields, head.target);
    const admission = await reception.admit(place, token);
    admitted(request);
    const { link, response } = openLink(new Headers({ "Sec-WebSocket-Protocol": subprotocol }));
    reception.receive(link, admission);
    return response;
  }

  private async openEvents(request: Request, { head }: FetchHead): Promise<Response> {
    const { platform, reception, eventLinks, memory, admitted } = this.deps;
    const { place, token } = readEventDial(head.fields, head.target);
    if (eventLinks.isFull(place.kind)) throw new UnderpassError("too-many-links");
    const admission = await reception.admit(place, token);
    admitted(request);
    const { readable, writable } = platform.bodyPipe(undefined);
    const response = platform.respond(readable, 200, "", new Headers(eventFields));
    const sink = new FetchSink(writable, { signal: request.signal, held: memory.beside });
    reception.receive(eventLinks.open(place.name, sink), admission);
    return response;
  }
}
