import type { Code } from "../../shared/errors.ts";
import type { DialFailure } from "../../shared/socket.ts";

/** What a stream is told when its far end can't be had. */
export function dialFailureCode(reason: DialFailure): Code {
  switch (reason) {
    case "timeout":
      return "origin-timeout";
    case "not-found":
      return "origin-not-found";
    case "unreachable":
      return "origin-unreachable";
    case "tls":
      return "origin-invalid";
    case "no-socket":
      return "too-many-streams";
    case "refused":
    case "failed":
      return "origin-refused";
  }
}
