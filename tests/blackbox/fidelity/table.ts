import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { projectRoot, type RelayRuntime, relayRuntime } from "../programs/relay.ts";

const runtimes: readonly RelayRuntime[] = ["bun", "deno", "workerd"];
const file = join(projectRoot, "docs/fidelity.md");

/** The measured table in docs/fidelity.md: a run writes the column of its own runtime and keeps the others. */
export class FidelityTable {
  readonly #rows: { group: string; name: string; cell: string }[] = [];
  readonly #notes = new Map<string, string>();

  /** What this run found for one case. */
  record(group: string, name: string, cell: string): void {
    this.#rows.push({ group, name, cell });
  }

  /** Why cells of this runtime differ. */
  note(group: string, reason: string): void {
    const before = this.#notes.get(group);
    if (before?.includes(reason) !== true)
      this.#notes.set(group, before === undefined ? reason : `${before}; ${reason}`);
  }

  async write(): Promise<void> {
    const others = await measuredBefore();
    const lines = [
      "# Fidelity: what arrives as it was sent",
      "",
      "Measured, not guessed: `UNDERPASS_WRITE_DOCS=1 bun test tests/blackbox/fidelity.test.ts` writes the column of the relay",
      "that it ran against (`UNDERPASS_TEST_RELAY=bun`, `deno` or `workerd`). Each case runs against the origin direct and through the",
      "tunnel with the same bytes: *same* means that origin and visitor saw the same. *refused* and the status: it never reached the origin.",
      "",
    ];
    for (const group of new Set(this.#rows.map((row) => row.group))) {
      lines.push(
        `## ${group}`,
        "",
        `| case | ${runtimes.join(" | ")} |`,
        `| --- |${" --- |".repeat(runtimes.length)}`,
      );
      for (const row of this.#rows.filter((each) => each.group === group)) {
        const cells = runtimes.map((runtime) =>
          runtime === relayRuntime ? row.cell : (others.get(key(runtime, group, row.name)) ?? "not measured"),
        );
        lines.push(`| ${escaped(row.name)} | ${cells.join(" | ")} |`);
      }
      lines.push("");
      for (const runtime of runtimes) {
        const note = runtime === relayRuntime ? this.#notes.get(group) : others.get(noteKey(runtime, group));
        if (note) lines.push(`${noteStart(runtime)}${note}.`, "");
      }
    }
    await writeFile(file, lines.join("\n"));
  }
}

function escaped(name: string): string {
  return `\`${name}\``.replaceAll("|", "\\|");
}

function key(runtime: RelayRuntime, group: string, name: string): string {
  return `${runtime} ${group} ${escaped(name)}`;
}

function noteKey(runtime: RelayRuntime, group: string): string {
  return `${runtime} ${group}`;
}

function noteStart(runtime: RelayRuntime): string {
  return `Where ${runtime} differs: `;
}

/** The cells and notes that stand in the file now. */
async function measuredBefore(): Promise<Map<string, string>> {
  const cells = new Map<string, string>();
  const text = await readFile(file, "utf8").catch(() => "");
  let group = "";
  for (const line of text.split("\n")) {
    if (line.startsWith("## ")) group = line.slice(3);
    for (const runtime of runtimes) {
      const start = noteStart(runtime);
      if (line.startsWith(start)) cells.set(noteKey(runtime, group), line.slice(start.length, -1));
    }
    if (!line.startsWith("| `")) continue;
    const parts = line.split(/(?<!\\) \| /);
    const name = (parts[0] ?? "").slice(2);
    runtimes.forEach((runtime, i) => {
      const cell = (parts[i + 1] ?? "").replace(/ \|$/, "");
      if (cell) cells.set(`${runtime} ${group} ${name}`, cell);
    });
  }
  return cells;
}
