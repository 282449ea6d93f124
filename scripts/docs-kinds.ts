/** `npm run docs:kinds`: runs tests/blackbox/matrix.test.ts on each runtime, and writes what it showed into docs/kinds.md. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Cell, runtimes } from "../tests/blackbox/matrix/cells.ts";
import { kindsPage, withTable } from "../tests/blackbox/matrix/kinds-page.ts";

const folder = mkdtempSync(join(tmpdir(), "underpass-kinds-"));
const file = join(folder, "cells");
writeFileSync(file, "");
for (const runtime of runtimes) {
  const env = { ...process.env, UNDERPASS_TEST_RELAY: runtime, UNDERPASS_MATRIX: file };
  const command = [process.execPath, "test", "--timeout=60000", "./tests/blackbox/matrix.test.ts"];
  await Bun.spawn(command, { env, cwd: join(import.meta.dir, ".."), stdio: ["ignore", "inherit", "inherit"] })
    .exited;
}
const cells = readFileSync(file, "utf8")
  .split("\n")
  .filter((line) => line !== "")
  .map((line) => JSON.parse(line) as Cell);
rmSync(folder, { recursive: true });
writeFileSync(kindsPage, withTable(readFileSync(kindsPage, "utf8"), cells));
