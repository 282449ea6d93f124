/**
 * `*` any run, `?` any one character. Not by RegExp: a glob like `*a*a*a*b` would take exponential time there. On a
 * mismatch only the last `*` is widened, so the work is at most glob length x text length.
 */
export function globMatches(glob: string, text: string): boolean {
  let g = 0;
  let t = 0;
  let star = -1;
  let starText = 0;
  while (t < text.length) {
    const want = glob[g];
    if (want === "*") {
      star = g++;
      starText = t;
    } else if (want !== undefined && (want === "?" || want === text[t])) {
      g++;
      t++;
    } else if (star >= 0) {
      g = star + 1;
      t = ++starText;
    } else {
      return false;
    }
  }
  while (glob[g] === "*") g++;
  return g === glob.length;
}
