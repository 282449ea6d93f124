import * as v from "valibot";
import { type Code, wireNumber } from "./errors.ts";
import { sessionKinds } from "./kind.ts";
import { MessageWriter, RecordType, readU16, readU24, recordHeaderBytes } from "./mux/frame.ts";
import { limits } from "./mux/limits.ts";

/** HELLO and WELCOME (PROTOCOL.md section 3): the first message each way on a link. */

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const shared = {
  version: v.literal(1),
  features: v.array(v.string()),
  window: v.pipe(count, v.minValue(limits.minWindowBytes), v.maxValue(limits.maxWindowBytes)),
  streams: v.pipe(count, v.maxValue(65_535)),
  received: count,
};

/** Other relays that a WELCOME names. */
export const maxRelays = 8;

const sessionId = v.pipe(v.string(), v.regex(/^[A-Za-z0-9_-]{1,64}$/));
/** 32 bytes as base64url. */
const token256 = v.pipe(v.string(), v.regex(/^[A-Za-z0-9_-]{43}$/));

const helloSchema = v.object({
  ...shared,
  kind: v.picklist(sessionKinds),
  instance: v.pipe(v.string(), v.regex(/^[A-Za-z0-9_-]{16,64}$/)),
  slot: v.pipe(count, v.maxValue(63)),
  attempt: v.pipe(count, v.minValue(1)),
  join: v.exactOptional(v.boolean()),
  agent: v.exactOptional(v.string()),
  resume: v.exactOptional(
    v.object({
      session: sessionId,
      proof: token256,
      only: v.exactOptional(v.boolean()),
    }),
  ),
});

const welcomeSchema = v.pipe(
  v.object({
    ...shared,
    session: sessionId,
    secret: v.exactOptional(token256),
    resumed: v.boolean(),
    first: count,
    generation: count,
    resumeWindowMs: count,
    // They reach a terminal and programs that read lines.
    urls: v.pipe(v.array(v.pipe(v.string(), v.regex(/^[!-~]{1,300}$/))), v.maxLength(16)),
    relays: v.exactOptional(
      v.pipe(
        v.array(v.pipe(v.string(), v.regex(/^(?=.{8,300}$)https?:\/\/[!-~]+$/))),
        v.maxLength(maxRelays),
      ),
    ),
  }),
  // A session that begins needs something to resume it with.
  v.check(({ resumed, secret }) => resumed || secret !== undefined),
);

export type Hello = v.InferOutput<typeof helloSchema>;
export type Welcome = v.InferOutput<typeof welcomeSchema>;

/** What a first message turned out to be. */
export type HandshakeResult<T> =
  | { readonly kind: "ok"; readonly value: T }
  /** It breaks a rule: answer GOAWAY with this code. */
  | { readonly kind: "fault"; readonly code: Code }
  /** The peer said GOAWAY instead; `wire` is its code's number. */
  | { readonly kind: "goaway"; readonly wire: number };

export function writeHello(hello: Hello): Uint8Array {
  return write(RecordType.hello, hello);
}

export function writeWelcome(welcome: Welcome): Uint8Array {
  return write(RecordType.welcome, welcome);
}

/** A GOAWAY on a link that has no session. */
export function writeGoaway(kind: "bye" | "error", code: Code): Uint8Array {
  const writer = new MessageWriter(16);
  writer.goaway(kind === "bye" ? 1 : 2, wireNumber(code), 0, 0, new Uint8Array(0));
  return writer.finish();
}

export function readHello(message: Uint8Array): HandshakeResult<Hello> {
  return read(message, RecordType.hello, helloSchema);
}

export function readWelcome(message: Uint8Array): HandshakeResult<Welcome> {
  return read(message, RecordType.welcome, welcomeSchema);
}

function write(type: number, value: unknown): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(value));
  const message = new Uint8Array(recordHeaderBytes + json.length);
  message.set([type, json.length >>> 16, (json.length >>> 8) & 0xff, json.length & 0xff]);
  message.set(json, recordHeaderBytes);
  return message;
}

function read<T>(message: Uint8Array, type: number, schema: v.GenericSchema<unknown, T>): HandshakeResult<T> {
  const length = readU24(message, 1);
  if (message.length >= recordHeaderBytes + 12 && message[0] === RecordType.goaway) {
    return { kind: "goaway", wire: readU16(message, recordHeaderBytes + 2) };
  }
  if (length > limits.maxHandshakeBytes) return { kind: "fault", code: "message-too-big" };
  if (message[0] !== type || message.length !== recordHeaderBytes + length)
    return { kind: "fault", code: "protocol-error" };
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(message.subarray(recordHeaderBytes)));
  } catch {
    // Neither the decoder's nor the parser's words matter to the peer.
    return { kind: "fault", code: "protocol-error" };
  }
  if (
    json !== null &&
    typeof json === "object" &&
    "version" in json &&
    Number.isInteger(json.version) &&
    json.version !== 1
  ) {
    return { kind: "fault", code: "version-unsupported" };
  }
  const result = v.safeParse(schema, json);
  return result.success ? { kind: "ok", value: result.output } : { kind: "fault", code: "protocol-error" };
}
