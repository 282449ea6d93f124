/** The address of the agent's host changes in mid-download, for `runInside`: options are `RoamingOptions`. */
import { within } from "../../blackbox/programs/within.ts";
import { Visitor } from "../../blackbox/raw/visitor.ts";
import { startDistantTunnel } from "../distant-tunnel.ts";
import { endWithParent } from "../inside.ts";
import { Pattern } from "../pattern.ts";
import type { WideAreaOptions } from "../wide-area.ts";

export interface RoamingOptions extends WideAreaOptions {
  readonly bytes: number;
  /** At each of these moments, as bytes received, the host moves on. */
  readonly moveAt: readonly number[];
}

export interface RoamingResult {
  readonly means: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly wanted: string;
  readonly complete: boolean;
  /** The longest time without a byte for the visitor. */
  readonly longestPauseMs: number;
  readonly tookMs: number;
  /** Of the agent, in order: state and slot. */
  readonly links: readonly string[];
}

/** A download that stands still for so long is not going on any more. */
const pieceLimitMs = 60_000;

async function roam({ bytes, moveAt, ...options }: RoamingOptions): Promise<RoamingResult> {
  await using tunnel = await startDistantTunnel(options);
  const { area, agent } = tunnel;
  const startedAtMs = performance.now();
  using visitor = await Visitor.connect(tunnel.target);
  await visitor.send(`GET /${bytes} HTTP/1.1\r\nHost: HOST\r\n\r\n`);
  const { body } = await visitor.answer();
  const hash = new Bun.CryptoHasher("sha256");
  let received = 0;
  let lastAtMs = performance.now();
  let longestPauseMs = 0;
  let moves = 0;
  for (;;) {
    const piece = await within(
      body.piece(),
      pieceLimitMs,
      () => `more than ${received} bytes; ${agent.describe()}`,
    );
    if (piece === undefined) break;
    hash.update(piece);
    received += piece.length;
    longestPauseMs = Math.max(longestPauseMs, performance.now() - lastAtMs);
    lastAtMs = performance.now();
    // Not awaited: what is under way at that moment is what is to be lost.
    if (received >= (moveAt[moves] ?? bytes + 1)) void area.moveFar(`10.9.0.${10 + moves++}`);
  }
  return {
    means: area.means,
    bytes: received,
    sha256: hash.digest("hex"),
    wanted: Pattern.sha256(bytes),
    complete: body.complete,
    longestPauseMs: Math.round(longestPauseMs),
    tookMs: Math.round(performance.now() - startedAtMs),
    links: agent.events.filter(({ event }) => event === "link").map(({ state, link }) => `${state} ${link}`),
  };
}

if (import.meta.main) {
  endWithParent();
  console.log(JSON.stringify(await roam(JSON.parse(process.argv[2] ?? "") as RoamingOptions)));
  process.exit(0);
}
