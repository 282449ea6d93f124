import type { Code } from "../../shared/errors.ts";
import { fieldValue, type RequestHead } from "../../shared/http1/head.ts";
import { encodeLatin1 } from "../../shared/http1/latin1.ts";
import type { EventStreamRelayLink } from "../../shared/links/event-stream-relay.ts";
import { answer } from "../answers.ts";
import type { EventLinks, PostFields } from "../event-links.ts";
import type { Answered } from "./own-host.ts";
import { wholeAnswer } from "./whole-answer.ts";

/** What a visitor's socket does with a POST of a link. */
export interface PostWay {
  /** Takes the body: chunks, then undefined at its end. */
  readonly body: (bytes: Uint8Array | undefined) => void;
  /** The socket is kept for others of it as long as it is there. Absent: the POST was refused. */
  readonly link?: EventStreamRelayLink;
}

const takenKept = encodeLatin1("HTTP/1.1 204 No Content\r\n\r\n");
const takenLast = encodeLatin1("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");

/** The way up of links without WebSocket (PROTOCOL.md section 1.1), on raw sockets. */
export class EventPosts {
  constructor(
    private readonly links: EventLinks,
    private readonly refused: (code: Code) => void,
  ) {}

  /** Begins to take in a POST; `answered` may be called from inside. undefined: it is none of a link. */
  begin(head: RequestHead, target: string, answered: Answered): PostWay | undefined {
    const place = postPath(head, target);
    if (place === undefined) return undefined;
    const refuse = (code: Code): PostWay => {
      this.refused(code);
      const { status, fields, body } = answer(code, { accept: "application/problem+json" });
      answered(wholeAnswer(status, [...fields, "Connection", "close"], body), { keepAlive: false });
      return { body() {} };
    };
    const fields = postFields(head.fields, place);
    const begun = this.links.post(fields);
    if (begun === "unknown") return refuse("not-found");
    if (begun === "invalid") return refuse("bad-request");
    if (begun === "busy") return refuse("unprocessed");
    const { link, body } = begun;
    const keepAlive =
      head.minor === 1 && fieldValue(head.fields, "connection")?.toLowerCase().includes("close") !== true;
    let over = false;
    return {
      link,
      body: (bytes) => {
        if (over) return;
        if (bytes === undefined) {
          over = true;
          body.end((outcome) => {
            if (outcome === "taken") answered(keepAlive ? takenKept : takenLast, { keepAlive });
            else refuse("bad-request");
          });
        } else if (!body.push(bytes)) {
          over = true;
          refuse("bad-request");
        }
      },
    };
  }
}

/** The name and the link in the path of a POST; undefined: it is none of a link. */
export function postPath(head: RequestHead, target: string): Pick<PostFields, "name" | "link"> | undefined {
  if (head.method !== "POST") return undefined;
  const [, name, link] = /^\/_underpass\/posts\/([a-z0-9-]{1,63})\/([A-Za-z0-9_-]{22})$/.exec(target) ?? [];
  return name === undefined || link === undefined ? undefined : { name, link };
}

/** A number that is none is further ahead than any may be. */
export function postFields(fields: readonly string[], place: Pick<PostFields, "name" | "link">): PostFields {
  const secret = fieldValue(fields, "underpass-link-secret") ?? "";
  const text = fieldValue(fields, "underpass-sequence") ?? "";
  return { ...place, secret, number: /^[1-9]\d{0,14}$/.test(text) ? Number(text) : Number.POSITIVE_INFINITY };
}
