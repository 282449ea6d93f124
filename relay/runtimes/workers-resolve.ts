import * as v from "valibot";
import { UnderpassError } from "../../shared/errors.ts";
import { type Resolve, resolveLimits } from "../../shared/resolve.ts";

export interface DnsOverHttpsOptions {
  /** Of a service that answers `?name=N&type=T` with JSON (`application/dns-json`): Cloudflare's and Google's do. */
  readonly url: string;
  /** The platform's `fetch`. */
  readonly ask: (url: URL, init: RequestInit) => Promise<Response>;
  /** Whether this relay itself is what is behind a name (lower case, no dot at its end). */
  readonly isOwnName: (name: string) => boolean;
  /** For the two questions of a look-up, which are asked at once. */
  readonly timeoutMs?: number;
}

const dnsLimits = {
  /** Of one answer. A name has some addresses of 16 to 40 characters. */
  maxAnswerBytes: 65_536,
  /** Of one family; the policy tries fewer. */
  maxAddresses: 64,
} as const;

/** Numbers of record types (RFC 1035 section 3.2.2, RFC 3596 section 2.1) and answers (RFC 1035 section 4.1.1). */
const recordTypes = { A: 1, AAAA: 28 } as const;
const statuses = { fine: 0, noSuchName: 3 } as const;

const answerSchema = v.object({
  Status: v.number(),
  Answer: v.optional(v.array(v.object({ type: v.number(), data: v.string() })), []),
});

/**
 * Looks names up by DNS over HTTPS, where the platform has no resolver to be asked. Names of this relay itself are refused
 * with `egress-denied`, whatever grants them: by them a stream would come round to where it went out. IPv4 and IPv6 take
 * turns in what is found, IPv4 first.
 */
export function dnsOverHttps(options: DnsOverHttpsOptions): Resolve {
  return async (host) => {
    // RFC 6761 section 6.3.
    if (/^(?:.+\.)?localhost$/.test(host)) return ["127.0.0.1", "::1"];
    if (options.isOwnName(host))
      throw new UnderpassError("egress-denied", `${host} is a name of this relay itself.`);
    const [four, six] = await Promise.all([
      lookUp(options, host, "A").catch(asRefusal),
      lookUp(options, host, "AAAA").catch(asRefusal),
    ]);
    const found = inTurns(addressesIn(four), addressesIn(six));
    if (found.length > 0) return found;
    if (four instanceof UnderpassError) throw four;
    if (six instanceof UnderpassError) throw six;
    throw new UnderpassError("origin-not-found");
  };
}

/** Rejects with UnderpassError. None: the name is not known, or has no such address. */
async function lookUp(
  { url, ask, timeoutMs = resolveLimits.timeoutMs }: DnsOverHttpsOptions,
  name: string,
  type: keyof typeof recordTypes,
): Promise<readonly string[]> {
  const place = new URL(url);
  place.searchParams.set("name", name);
  place.searchParams.set("type", type);
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    const headers = { accept: "application/dns-json" };
    // An answer that leads elsewhere is none: who may be asked is the operator's choice.
    const response = await ask(place, { headers, redirect: "manual", signal });
    const { Status: status, Answer: records } = v.parse(answerSchema, JSON.parse(await textOf(response)));
    if (status === statuses.noSuchName) return [];
    if (!response.ok || status !== statuses.fine) throw new Error(`DNS status ${status}`);
    return records
      .filter((record) => record.type === recordTypes[type])
      .slice(0, dnsLimits.maxAddresses)
      .map(({ data }) => data);
  } catch (cause) {
    if (signal.aborted)
      throw new UnderpassError("origin-timeout", "The name service did not answer in time.", { cause });
    throw new UnderpassError("origin-unreachable", "The name service gave no answer that can be used.", {
      cause,
    });
  }
}

async function textOf(response: Response): Promise<string> {
  let text = "";
  let bytes = 0;
  const decoder = new TextDecoder();
  for await (const piece of response.body ?? []) {
    bytes += piece.length;
    // Leaving the loop cancels the rest.
    if (bytes > dnsLimits.maxAnswerBytes) throw new Error("The answer is too long.");
    text += decoder.decode(piece, { stream: true });
  }
  return text;
}

function asRefusal(error: unknown): UnderpassError {
  if (error instanceof UnderpassError) return error;
  throw error;
}

function addressesIn(answer: readonly string[] | UnderpassError): readonly string[] {
  return answer instanceof UnderpassError ? [] : answer;
}

function inTurns(one: readonly string[], other: readonly string[]): readonly string[] {
  const rounds = Math.max(one.length, other.length);
  return Array.from({ length: rounds }, (_, at) => [
    ...one.slice(at, at + 1),
    ...other.slice(at, at + 1),
  ]).flat();
}
