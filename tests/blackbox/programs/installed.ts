/** Where a program of this machine is; undefined: its cases are skipped, because no package of ours can bring it. */
export function installed(...names: readonly string[]): string | undefined {
  for (const name of names) {
    const path = Bun.which(name);
    if (path) return path;
  }
  return undefined;
}
