import { expect } from "bun:test";
import { appendFileSync } from "node:fs";
import type { Cell } from "./cells.ts";
import { onPage, shown } from "./kinds-page.ts";

/** A test has shown what belongs in the cell: kept for whoever makes the table, else held against the one that is there. */
export function record(cell: Cell): void {
  const file = process.env["UNDERPASS_MATRIX"];
  if (file !== undefined) appendFileSync(file, `${JSON.stringify(cell)}\n`);
  // If this fails: npm run docs:kinds
  else expect(onPage(cell)).toBe(shown(cell));
}
