/** HELLO and WELCOME: section 3 of PROTOCOL.md, naively. Tells the code that a wrong one must be answered with. */
import type { GoawayCode } from "./codes.ts";

type Check = (value: unknown) => boolean;

const text: Check = (value) => typeof value === "string";
const boolean: Check = (value) => typeof value === "boolean";
const texts: Check = (value) => Array.isArray(value) && value.every(text);
const matching =
  (pattern: RegExp): Check =>
  (value) =>
    typeof value === "string" && pattern.test(value);
const integerIn =
  (least: number, most: number): Check =>
  (value) =>
    Number.isInteger(value) && (value as number) >= least && (value as number) <= most;
const members =
  (checks: Record<string, Check>): Check =>
  (value) =>
    isObject(value) && Object.entries(checks).every(([name, holds]) => memberHolds(value, name, holds));
const count = integerIn(0, 2 ** 53 - 1);
const session = matching(/^[A-Za-z0-9_-]{1,64}$/);
/** base64url of 32 bytes, without padding. */
const bytes32 = matching(/^[A-Za-z0-9_-]{43}$/);
const streams = integerIn(0, 65_535);
const window = integerIn(65_536, 16_777_216);

const helloMembers: Record<string, Check> = {
  features: texts,
  kind: (value) =>
    ["http", "tcp", "tls", "udp", "private", "connect", "via", "egress"].some((kind) => kind === value),
  instance: matching(/^[A-Za-z0-9_-]{16,64}$/),
  slot: integerIn(0, 63),
  window,
  streams,
  attempt: integerIn(1, 2 ** 53 - 1),
  received: count,
  "join?": boolean,
  "agent?": text,
  "resume?": members({
    session,
    proof: bytes32,
    "only?": boolean,
  }),
};

const welcomeMembers: Record<string, Check> = {
  features: texts,
  session,
  resumed: boolean,
  first: count,
  received: count,
  window,
  streams,
  generation: count,
  resumeWindowMs: count,
  urls: (value) =>
    texts(value) &&
    (value as string[]).length <= 16 &&
    (value as string[]).every((url) => /^[!-~]{1,300}$/.test(url)),
  "relays?": (value) =>
    texts(value) &&
    (value as string[]).length <= 8 &&
    (value as string[]).every((url) => url.length <= 300 && /^https?:\/\/[!-~]+$/.test(url)),
};

export function checkHello(json: unknown): GoawayCode | undefined {
  return check(json, helloMembers);
}

/** "`secret` (absent when `resumed`)": only the first WELCOME of a session needs one. */
export function checkWelcome(json: unknown): GoawayCode | undefined {
  const fresh = isObject(json) && json["resumed"] !== true;
  return check(json, { ...welcomeMembers, [fresh ? "secret" : "secret?"]: bytes32 });
}

/** What `proof` is the HMAC of: section 3. */
export function proofText(sessionId: string, attempt: number, received: number): string {
  return `underpass.1 resume ${sessionId} ${attempt} ${received}`;
}

function check(json: unknown, checks: Record<string, Check>): GoawayCode | undefined {
  if (!isObject(json)) return "protocol-error";
  const version = json["version"];
  // The version is looked at first: what the other members look like is the version's business.
  if (!Number.isInteger(version)) return "protocol-error";
  if (version !== 1) return "version-unsupported";
  return members(checks)(json) ? undefined : "protocol-error";
}

function memberHolds(object: Record<string, unknown>, name: string, holds: Check): boolean {
  const optional = name.endsWith("?");
  const value = object[optional ? name.slice(0, -1) : name];
  return (optional && value === undefined) || holds(value);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
