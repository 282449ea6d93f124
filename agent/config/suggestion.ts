/** A word of `known` that `given` may have been meant to be: other case, `_` for `-`, or a slip or two of the fingers. */
export function suggestion(given: string, known: readonly string[]): string | undefined {
  const kebab = given
    .replace(/([a-z\d])([A-Z])/g, "$1-$2")
    .replaceAll("_", "-")
    .toLowerCase();
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const word of known) {
    const slips = distance(kebab.slice(0, maxChars), word);
    if (slips >= bestDistance || slips > Math.max(1, Math.floor(word.length / 3))) continue;
    best = word;
    bestDistance = slips;
  }
  return best;
}

/** No key is longer; the rest of what was given makes no difference. */
const maxChars = 40;

/** Letters to add, drop, change, or swap with their neighbour (optimal string alignment). */
function distance(one: string, other: string): number {
  let before: number[] = [];
  let above = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let i = 1; i <= one.length; i++) {
    const row = [i];
    for (let j = 1; j <= other.length; j++) {
      const same = one[i - 1] === other[j - 1];
      let least = Math.min((above[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (above[j - 1] ?? 0) + (same ? 0 : 1));
      if (i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1]) {
        least = Math.min(least, (before[j - 2] ?? 0) + 1);
      }
      row.push(least);
    }
    before = above;
    above = row;
  }
  return above[other.length] ?? 0;
}
