import { lookup } from "node:dns";
import { UnderpassError } from "../errors.ts";
import { type Resolve, type ResolveLimits, resolveLimits } from "../resolve.ts";
import { dialFailure } from "./socket-facts.ts";

/** What of `node:dns` is used; a test has its own. */
export type Look = (
  host: string,
  options: { readonly all: true; readonly order: "verbatim" },
  done: (error: Error | null, found: readonly { readonly address: string }[]) => void,
) => void;

/**
 * Looks names up by `node:dns`, on Bun and Deno: the system's resolver. A look-up can't be cancelled, only left alone, so
 * those that are under way are counted until they have ended.
 */
export function nodeResolve(look: Look = lookup, limits: ResolveLimits = resolveLimits): Resolve {
  let underWay = 0;
  return (host) =>
    new Promise((resolve, reject) => {
      // RFC 6761 section 6.3: loopback in both families, whatever a hosts file or a resolver says.
      if (/^(?:.+\.)?localhost$/i.test(host)) {
        resolve(["127.0.0.1", "::1"]);
        return;
      }
      if (underWay >= limits.maxUnderWay) {
        reject(new UnderpassError("origin-timeout", "Too many look-ups are under way."));
        return;
      }
      underWay++;
      const timer = setTimeout(() => {
        reject(
          new UnderpassError("origin-timeout", `No answer to the look-up within ${limits.timeoutMs} ms.`),
        );
      }, limits.timeoutMs);
      look(host, { all: true, order: "verbatim" }, (error, found) => {
        underWay--;
        clearTimeout(timer);
        if (error === null) resolve(found.map(({ address }) => address));
        else reject(refusal(error));
      });
    });
}

function refusal(cause: Error): UnderpassError {
  const code = "code" in cause ? cause.code : undefined;
  // EAI_AGAIN: no resolver answered, so nobody knows.
  const isMissing = code === "ENODATA" || (code !== "EAI_AGAIN" && dialFailure(cause) === "not-found");
  return new UnderpassError(isMissing ? "origin-not-found" : "origin-unreachable", undefined, { cause });
}
