import type { NodeFacts } from "./board.ts";

const maxHints = 8;

/**
 * Where else an agent may go, for WELCOME: URLs of the ready ones among these relays, which are the others. The less loaded
 * of two at random comes before the other: the least loaded of all would get everybody who asks within the same second.
 */
export function hints(others: readonly NodeFacts[], random: () => number): string[] {
  const left = others.filter(({ url, state }) => url !== undefined && state === "ready");
  const urls = new Set<string>();
  while (left.length > 0 && urls.size < maxHints) {
    const [one, other] = [Math.floor(random() * left.length), Math.floor(random() * left.length)];
    const chosen = (left[other]?.sessions ?? 0) < (left[one]?.sessions ?? 0) ? other : one;
    const [node] = left.splice(chosen, 1);
    if (node?.url !== undefined) urls.add(node.url);
  }
  return [...urls];
}
