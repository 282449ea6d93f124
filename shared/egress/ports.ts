/** First and last, both included. */
export type PortRange = readonly [first: number, last: number];

/** `443`, `80,443`, `8000-8100,9000`, `*`. undefined: not of that form. */
export function parsePorts(text: string): readonly PortRange[] | undefined {
  if (text === "*") return [[1, 65_535]];
  const ranges: PortRange[] = [];
  for (const item of text.split(",")) {
    const [, from, to = from] = /^([1-9]\d{0,4})(?:-([1-9]\d{0,4}))?$/.exec(item) ?? [];
    const first = Number(from);
    const last = Number(to);
    if (!(first <= last && last <= 65_535)) return undefined;
    ranges.push([first, last]);
  }
  return ranges;
}
