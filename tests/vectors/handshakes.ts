/** The two first messages of a link, good and bad, and proofs: what section 3 of PROTOCOL.md says of them. */
import { createHmac } from "node:crypto";
import { checkHello, checkWelcome, proofText } from "../oracle/handshake.ts";

export interface HandshakeVector {
  name: string;
  record: "HELLO" | "WELCOME";
  json: unknown;
  /** null: accepted. */
  fault: string | null;
}

/** HMAC-SHA256 by another's hand than the product's. Secret and proof in base64url. */
export interface ProofVector {
  name: string;
  secret: string;
  session: string;
  attempt: number;
  received: number;
  text: string;
  proof: string;
}

export const hello = {
  version: 1,
  features: [],
  kind: "http",
  instance: "0123456789abcdef",
  slot: 0,
  window: 65_536,
  streams: 4_096,
  attempt: 1,
  received: 0,
};
const secret = Uint8Array.from({ length: 32 }, (_, at) => at * 8).toBase64({
  alphabet: "base64url",
  omitPadding: true,
});
export const resuming = {
  ...hello,
  attempt: 7,
  received: 4_294_967_301,
  resume: { session: "r1-0a_B", proof: proof(secret, proofText("r1-0a_B", 7, 4_294_967_301)) },
};
export const welcome = {
  version: 1,
  features: [],
  session: "r1-0a_B",
  secret: "A".repeat(43),
  resumed: false,
  first: 1,
  received: 0,
  window: 65_536,
  streams: 4_096,
  generation: 1,
  resumeWindowMs: 60_000,
  urls: ["https://x.example/"],
};

export const resumed = {
  ...missing(welcome, "secret"),
  resumed: true,
  first: 4_294_967_302,
  received: 12,
};

const hellos: Record<string, unknown> = {
  least: hello,
  "all members and an unknown one": { ...hello, join: true, agent: "underpass 0.1.0", colour: "red" },
  "largest numbers": { ...hello, slot: 63, window: 16_777_216, streams: 65_535, instance: "_".repeat(64) },
  "version 2": { ...hello, version: 2 },
  "version 2 of another shape": { version: 2 },
  "version 0": { ...hello, version: 0 },
  "version as text": { ...hello, version: "1" },
  "version 1.5": { ...hello, version: 1.5 },
  ...Object.fromEntries(Object.keys(hello).map((member) => [`no ${member}`, missing(hello, member)])),
  "features with a number": { ...hello, features: [1] },
  "kind connect": { ...hello, kind: "connect" },
  "kind via": { ...hello, kind: "via" },
  "kind private, with egress": { ...hello, kind: "private", features: ["egress"] },
  "another kind": { ...hello, kind: "carrier-pigeon" },
  "instance of 15": { ...hello, instance: "0123456789abcde" },
  "instance of 65": { ...hello, instance: "_".repeat(65) },
  "instance with a newline at its end": { ...hello, instance: "0123456789abcdef\n" },
  "slot 64": { ...hello, slot: 64 },
  "slot -1": { ...hello, slot: -1 },
  "window 65,535": { ...hello, window: 65_535 },
  "window 16,777,217": { ...hello, window: 16_777_217 },
  "window with a fraction": { ...hello, window: 70_000.5 },
  "streams 0": { ...hello, streams: 0 },
  "streams 65,536": { ...hello, streams: 65_536 },
  "attempt of the largest number": { ...hello, attempt: 2 ** 53 - 1 },
  "attempt 0": { ...hello, attempt: 0 },
  "attempt 2^53": { ...hello, attempt: 2 ** 53 },
  "attempt as text": { ...hello, attempt: "1" },
  "received -1": { ...hello, received: -1 },
  "a resume": resuming,
  "a resume, or nothing": { ...resuming, resume: { ...resuming.resume, only: true } },
  "a resume, only false, and an unknown member of it": {
    ...resuming,
    resume: { ...resuming.resume, only: false, colour: "red" },
  },
  "resume null": { ...hello, resume: null },
  "resume as text": { ...hello, resume: "r1-0a_B" },
  "resume as list": { ...hello, resume: [] },
  ...Object.fromEntries(
    Object.keys(resuming.resume).map((member) => [
      `resume without ${member}`,
      { ...resuming, resume: missing(resuming.resume, member) },
    ]),
  ),
  "resume of a session with a slash": { ...resuming, resume: { ...resuming.resume, session: "a/b" } },
  "resume of an empty session": { ...resuming, resume: { ...resuming.resume, session: "" } },
  "proof of 42": { ...resuming, resume: { ...resuming.resume, proof: "A".repeat(42) } },
  "proof with padding": { ...resuming, resume: { ...resuming.resume, proof: `${"A".repeat(43)}=` } },
  "proof in base64": { ...resuming, resume: { ...resuming.resume, proof: `+${"A".repeat(42)}` } },
  "only as number": { ...resuming, resume: { ...resuming.resume, only: 1 } },
  "only null": { ...resuming, resume: { ...resuming.resume, only: null } },
  "join null": { ...hello, join: null },
  "join as text": { ...hello, join: "yes" },
  "agent as number": { ...hello, agent: 1 },
};

const welcomes: Record<string, unknown> = {
  least: welcome,
  "an unknown member": { ...welcome, colour: "red" },
  "version 2 of another shape": { version: 2 },
  ...Object.fromEntries(Object.keys(welcome).map((member) => [`no ${member}`, missing(welcome, member)])),
  "a session that is resumed": resumed,
  "resumed without first": missing(resumed, "first"),
  "fresh after a resume was asked for": { ...welcome, session: "r1-0a_C" },
  "secret null": { ...welcome, secret: null },
  "first 2^53": { ...resumed, first: 2 ** 53 },
  "session empty": { ...welcome, session: "" },
  "session of 65": { ...welcome, session: "s".repeat(65) },
  "session with a slash": { ...welcome, session: "a/b" },
  "secret of 42": { ...welcome, secret: "A".repeat(42) },
  "secret with padding": { ...welcome, secret: `${"A".repeat(43)}=` },
  "resumed as text": { ...welcome, resumed: "no" },
  "window 65,535": { ...welcome, window: 65_535 },
  "streams 65,536": { ...welcome, streams: 65_536 },
  "generation 2^53": { ...welcome, generation: 2 ** 53 },
  "resumeWindowMs negative": { ...welcome, resumeWindowMs: -1 },
  "urls as text": { ...welcome, urls: "https://x.example/" },
  "other relays": { ...welcome, relays: ["https://b.example", "http://127.0.0.1:8787/under"] },
  "other relays of a session that is resumed": { ...resumed, relays: ["https://b.example"] },
  "relays without any": { ...welcome, relays: [] },
  "relays of 8": { ...welcome, relays: Array.from({ length: 8 }, (_, at) => `https://${at}.example`) },
  "relays of 9": { ...welcome, relays: Array.from({ length: 9 }, (_, at) => `https://${at}.example`) },
  "relays null": { ...welcome, relays: null },
  "relays as text": { ...welcome, relays: "https://b.example" },
  "relays with a number": { ...welcome, relays: [1] },
  "a relay of another scheme": { ...welcome, relays: ["wss://b.example"] },
  "a relay with a space": { ...welcome, relays: ["https://b.example /"] },
  "a relay with a newline at its end": { ...welcome, relays: ["https://b.example\n"] },
  "a relay of no host": { ...welcome, relays: ["https://"] },
  "a relay of 300 characters": { ...welcome, relays: [`https://${"b".repeat(292)}`] },
  "a relay of 301 characters": { ...welcome, relays: [`https://${"b".repeat(293)}`] },
};

const proofs = [
  { name: "first attempt, nothing received", secret: "A".repeat(43), session: "s", attempt: 1, received: 0 },
  { name: "that of the HELLO above", secret, session: "r1-0a_B", attempt: 7, received: 4_294_967_301 },
  {
    name: "longest id, largest numbers, a secret of ones",
    secret: `${"_".repeat(42)}8`,
    session: "-".repeat(64),
    attempt: 2 ** 53 - 1,
    received: 2 ** 53 - 1,
  },
];

function proof(secretText: string, text: string): string {
  const key = Uint8Array.fromBase64(secretText, { alphabet: "base64url" });
  return createHmac("sha256", key).update(text).digest("base64url");
}

function missing(json: object, member: string): object {
  return Object.fromEntries(Object.entries(json).filter(([name]) => name !== member));
}

/** What a reader says of each. */
export function makeHandshakes(): HandshakeVector[] {
  return [
    ...Object.entries(hellos).map(
      ([name, json]): HandshakeVector => ({ name, record: "HELLO", json, fault: checkHello(json) ?? null }),
    ),
    ...Object.entries(welcomes).map(
      ([name, json]): HandshakeVector => ({
        name,
        record: "WELCOME",
        json,
        fault: checkWelcome(json) ?? null,
      }),
    ),
  ];
}

export function makeProofs(): ProofVector[] {
  return proofs.map((vector) => {
    const text = proofText(vector.session, vector.attempt, vector.received);
    return { ...vector, text, proof: proof(vector.secret, text) };
  });
}
