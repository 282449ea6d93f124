import { type Code, codes } from "../shared/errors.ts";
import { writeGoaway } from "../shared/handshake.ts";
import type { Link } from "../shared/link.ts";

/** Says GOAWAY on a link that has no session, and closes it. `gone` is called when it is gone. */
export function refuseLink(link: Link, code: Code, gone: () => void): void {
  link.handler = { heard() {}, message() {}, text() {}, drained() {}, closed: gone };
  link.send(writeGoaway("error", code));
  link.close(codes[code].close ?? 1008, code);
}
