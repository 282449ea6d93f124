import type { Code } from "../../shared/errors.ts";
import type { OrderedBody, Outcome } from "../../shared/links/event-stream-order.ts";
import type { EventLinks } from "../event-links.ts";
import { postFields, postPath } from "./event-posts.ts";
import { answerResponse } from "./fetch.ts";
import type { FetchHead } from "./fetch-head.ts";

const postLimits = {
  /** What is read at once. */
  readBytes: 65_536,
  /** Smaller pieces are copied, so that one that waits for its turn keeps no whole buffer. */
  copyBelowBytes: 32_768,
} as const;

/** The way up of links without WebSocket (PROTOCOL.md section 1.1), where the platform speaks Request and Response. */
export class FetchPosts {
  constructor(
    private readonly links: EventLinks,
    private readonly refused: (code: Code) => void,
  ) {}

  /** Takes in a POST. undefined: it is none of a link. Never rejects. */
  take(request: Request, { head }: FetchHead): Promise<Response> | undefined {
    const place = postPath(head, head.target);
    if (place === undefined) return undefined;
    const begun = this.links.post(postFields(head.fields, place));
    if (begun === "unknown") return Promise.resolve(this.refuse("not-found"));
    if (begun === "invalid") return Promise.resolve(this.refuse("bad-request"));
    if (begun === "busy") return Promise.resolve(this.refuse("unprocessed"));
    return this.pump(request, begun.body);
  }

  private async pump(request: Request, body: OrderedBody): Promise<Response> {
    try {
      const isValid = request.body === null || (await pour(request.body, body));
      if (!isValid) return this.refuse("bad-request");
      const outcome = await new Promise<Outcome>((resolve) => body.end(resolve));
      return outcome === "taken" ? new Response(null, { status: 204 }) : this.refuse("bad-request");
    } catch {
      // It broke off, whatever the platform calls that: the agent sends it again, on another socket.
      return this.refuse("bad-request");
    }
  }

  private refuse(code: Code): Response {
    this.refused(code);
    return answerResponse(code, { accept: "application/problem+json" }, "POST");
  }
}

/** false: it breaks a rule, and the rest stays unread. Rejects where it breaks off. */
async function pour(from: ReadableStream<Uint8Array>, to: OrderedBody): Promise<boolean> {
  const reader = from.getReader({ mode: "byob" });
  let buffer = new ArrayBuffer(postLimits.readBytes);
  for (;;) {
    const { value, done } = await reader.read(new Uint8Array(buffer));
    if (done || value === undefined) return true;
    const isSmall = value.length < postLimits.copyBelowBytes;
    const isValid = to.push(isSmall ? value.slice() : value);
    buffer = isSmall ? value.buffer : new ArrayBuffer(postLimits.readBytes);
    if (isValid) continue;
    await reader.cancel();
    return false;
  }
}
