import type { Code } from "../../shared/errors.ts";
import type { OrderedBody, Outcome } from "../../shared/links/event-stream-order.ts";
import type { Memory } from "../../shared/mux/memory.ts";
import type { EventLinks } from "../event-links.ts";
import { BodyReader } from "./body-reader.ts";
import { postFields, postPath } from "./event-posts.ts";
import { answerResponse } from "./fetch.ts";
import type { FetchHead } from "./fetch-head.ts";

/** Of all links together: four of each may be on their way, and a broken one may have to come again. */
const maxUnderWay = 512;

/** The way up of links without WebSocket (PROTOCOL.md section 1.1), where the platform speaks Request and Response. */
export class FetchPosts {
  private underWay = 0;

  constructor(
    private readonly links: EventLinks,
    private readonly memory: Memory,
    private readonly refused: (code: Code) => void,
  ) {}

  /** Takes in a POST. undefined: it is none of a link. Never rejects. */
  take(request: Request, { head }: FetchHead): Promise<Response> | undefined {
    const place = postPath(head, head.target);
    if (place === undefined) return undefined;
    if (this.underWay >= maxUnderWay) return Promise.resolve(this.refuse("unprocessed"));
    const begun = this.links.post(postFields(head.fields, place));
    if (begun === "unknown") return Promise.resolve(this.refuse("not-found"));
    if (begun === "invalid") return Promise.resolve(this.refuse("bad-request"));
    if (begun === "busy") return Promise.resolve(this.refuse("unprocessed"));
    return this.pump(request, begun.body);
  }

  private async pump(request: Request, body: OrderedBody): Promise<Response> {
    this.underWay++;
    try {
      const isValid = request.body === null || (await this.pour(request.body, body));
      if (!isValid) return this.refuse("bad-request");
      const outcome = await new Promise<Outcome>((resolve) => body.end(resolve));
      return outcome === "taken" ? new Response(null, { status: 204 }) : this.refuse("bad-request");
    } catch {
      // It broke off, whatever the platform calls that: the agent sends it again, on another socket.
      return this.refuse("bad-request");
    } finally {
      this.underWay--;
    }
  }

  /** false: it breaks a rule, and the rest stays unread. Rejects where it breaks off. */
  private async pour(from: ReadableStream<Uint8Array>, to: OrderedBody): Promise<boolean> {
    const reader = new BodyReader(from, this.memory);
    for (let bytes = await reader.read(); bytes !== undefined; bytes = await reader.read()) {
      if (to.push(bytes)) continue;
      await reader.cancel();
      return false;
    }
    return true;
  }

  private refuse(code: Code): Response {
    this.refused(code);
    return answerResponse(code, { accept: "application/problem+json" }, "POST");
  }
}
