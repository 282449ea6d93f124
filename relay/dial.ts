import { UnderpassError } from "../shared/errors.ts";
import { fieldValue } from "../shared/http1/head.ts";
import { isName } from "../shared/name.ts";
import { listOf } from "../shared/websocket/upgrade.ts";

/** The subprotocol of a link; a refusal of any other is how versions meet (PROTOCOL.md section 1). */
export const subprotocol = "underpass.1";
const bearerPrefix = "bearer.";

/** What an agent's dial asks for. */
export interface Dial {
  readonly name: string;
  /** The id of the session that is to be resumed. */
  readonly session: string | undefined;
  readonly token: string | undefined;
}

/** The name in the path of a link, and the session if it resumes one; undefined where it is not one of a link. */
export function linkPath(
  target: string,
): { readonly name: string; readonly session: string | undefined } | undefined {
  const [, name, session] = /^\/_underpass\/links\/([^/?]+)(?:\/([A-Za-z0-9_-]{1,64}))?$/.exec(target) ?? [];
  return name !== undefined && isName(name) ? { name, session } : undefined;
}

/** Reads an upgrade to a link. Throws `not-found` or `version-unsupported`. The token is not looked at. */
export function readDial(fields: readonly string[], target: string): Dial {
  const path = linkPath(target);
  if (path === undefined) throw new UnderpassError("not-found");
  const protocols = listOf(fields, "sec-websocket-protocol");
  if (!protocols.includes(subprotocol))
    throw new UnderpassError("version-unsupported", `The subprotocol is ${subprotocol}.`);
  const bearer = /^bearer +([^ ]+)$/i.exec(fieldValue(fields, "authorization") ?? "")?.[1];
  const entry = protocols.find((protocol) => protocol.startsWith(bearerPrefix));
  return { ...path, token: bearer ?? entry?.slice(bearerPrefix.length) };
}
