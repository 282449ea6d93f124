import * as v from "valibot";
import { decodeHead } from "../../shared/head.ts";
import { callKinds, kinds } from "../../shared/kind.ts";
import { limits } from "../../shared/mux/limits.ts";
import { isName } from "../../shared/name.ts";
import type { Admission } from "../admission.ts";
import { claimsSchema } from "../auth/claims.ts";
import { hopTags, putFirst, takeFirst } from "./hop-head.ts";

/** Of an agent's link: what the relay that it was dialled to has checked. */
export type LinkFacts = Required<Pick<Admission, "name" | "kind" | "claims" | "session">>;

const schema = v.object({
  name: v.pipe(v.string(), v.check(isName)),
  kind: v.picklist([...kinds, ...callKinds]),
  session: v.pipe(v.string(), v.regex(/^[A-Za-z0-9_-]{1,64}$/)),
  claims: claimsSchema,
});

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });
const nothing = new Uint8Array(0);
const fieldHeaderBytes = 3;

/** The head of a stream for a link that is passed on (PROTOCOL.md section 9). undefined: the claims are more than a frame carries. */
export function linkHead({ name, kind, session, claims }: LinkFacts): Uint8Array | undefined {
  const json = encoder.encode(JSON.stringify({ name, kind, session, claims }));
  const fits = fieldHeaderBytes + json.length <= limits.maxHeadFieldsBytes;
  return fits ? putFirst(hopTags.link, json, nothing) : undefined;
}

/** A stream with these fields brings a link. */
export function isLinkHead(fields: Uint8Array): boolean {
  return fields[0] === hopTags.link;
}

/** undefined: they are not valid. */
export function readLinkHead(fields: Uint8Array): LinkFacts | undefined {
  const first = takeFirst(fields);
  // No field that is known belongs behind it.
  if (first?.tag !== hopTags.link || decodeHead(first.rest)?.isEmpty !== true) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(decoder.decode(first.value));
  } catch {
    // Neither the decoder's nor the parser's words matter to the other relay.
    return undefined;
  }
  const checked = v.safeParse(schema, json, { abortEarly: true });
  return checked.success ? checked.output : undefined;
}
