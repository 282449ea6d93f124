import { UnderpassError } from "../shared/errors.ts";
import { fieldValue } from "../shared/http1/head.ts";
import { isSessionKind, type SessionKind } from "../shared/kind.ts";
import { isName } from "../shared/name.ts";
import { listOf } from "../shared/websocket/upgrade.ts";

/** The subprotocol of a link; a refusal of any other is how versions meet (PROTOCOL.md section 1). */
export const subprotocol = "underpass.1";
const bearerPrefix = "bearer.";

/** Where a dial wants to, by its path. */
export interface DialPlace {
  readonly name: string;
  readonly kind: SessionKind;
  /** The id of the session that is to be resumed. */
  readonly session: string | undefined;
}

export interface Dial {
  readonly place: DialPlace;
  readonly token: string | undefined;
}

/** What the path of a link says; undefined where it is not one of a link. */
export function linkPath(target: string): DialPlace | undefined {
  const [, name, session, kind = "http"] =
    /^\/_underpass\/links\/([^/?]+)(?:\/([A-Za-z0-9_-]{1,64}))?(?:\?kind=([a-z]+))?$/.exec(target) ?? [];
  return name !== undefined && isName(name) && isSessionKind(kind) ? { name, kind, session } : undefined;
}

/** The credential of a request: its Authorization, or its subprotocol entry. */
export function bearerOf(fields: readonly string[]): string | undefined {
  const bearer = /^bearer +([^ ]+)$/i.exec(fieldValue(fields, "authorization") ?? "")?.[1];
  const entry = listOf(fields, "sec-websocket-protocol").find((protocol) =>
    protocol.startsWith(bearerPrefix),
  );
  return bearer ?? entry?.slice(bearerPrefix.length);
}

/** Reads an upgrade to a link. Throws `not-found` or `version-unsupported`. The token is not looked at. */
export function readDial(fields: readonly string[], target: string): Dial {
  const place = linkPath(target);
  if (place === undefined) throw new UnderpassError("not-found");
  if (!listOf(fields, "sec-websocket-protocol").includes(subprotocol))
    throw new UnderpassError("version-unsupported", `The subprotocol is ${subprotocol}.`);
  return { place, token: bearerOf(fields) };
}

/** Whether a dial asks for events instead of a WebSocket (PROTOCOL.md section 1.1). */
export function isEventDial(fields: readonly string[]): boolean {
  return listOf(fields, "accept").some((range) => /^text\/event-stream *(?:;|$)/i.test(range));
}

/** Reads a dial for a link of events and POSTs. Throws `not-found` or `version-unsupported`. The token is not looked at. */
export function readEventDial(fields: readonly string[], target: string): Dial {
  const place = linkPath(target);
  if (place === undefined) throw new UnderpassError("not-found");
  if (fieldValue(fields, "underpass-protocol") !== subprotocol)
    throw new UnderpassError("version-unsupported", `Underpass-Protocol is ${subprotocol}.`);
  return { place, token: bearerOf(fields) };
}
