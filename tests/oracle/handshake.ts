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
const count = integerIn(0, 2 ** 53 - 1);
const streams = integerIn(0, 65_535);
const window = integerIn(65_536, 16_777_216);

const helloMembers: Record<string, Check> = {
  features: texts,
  kind: (value) => value === "http",
  instance: matching(/^[A-Za-z0-9_-]{16,64}$/),
  slot: integerIn(0, 63),
  window,
  streams,
  received: count,
  "join?": boolean,
  "agent?": text,
};

const welcomeMembers: Record<string, Check> = {
  features: texts,
  session: matching(/^[A-Za-z0-9_-]{1,64}$/),
  secret: matching(/^[A-Za-z0-9_-]{43}$/),
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
};

export function checkHello(json: unknown): GoawayCode | undefined {
  return check(json, helloMembers);
}

export function checkWelcome(json: unknown): GoawayCode | undefined {
  return check(json, welcomeMembers);
}

function check(json: unknown, members: Record<string, Check>): GoawayCode | undefined {
  if (typeof json !== "object" || json === null || Array.isArray(json)) return "protocol-error";
  const object = json as Record<string, unknown>;
  const version = object["version"];
  // The version is looked at first: what the other members look like is the version's business.
  if (!Number.isInteger(version)) return "protocol-error";
  if (version !== 1) return "version-unsupported";
  for (const [name, holds] of Object.entries(members)) {
    const optional = name.endsWith("?");
    const value = object[optional ? name.slice(0, -1) : name];
    if (optional && value === undefined) continue;
    if (!holds(value)) return "protocol-error";
  }
  return undefined;
}
