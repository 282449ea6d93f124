import type { Attendance } from "./contest.ts";
import type { Machine } from "./machine.ts";
import type { Result, Row } from "./rounds.ts";
import type { Summary } from "./statistics.ts";

export interface Report {
  /** What made it. */
  readonly command: string;
  readonly machine: Machine;
  readonly settings: {
    readonly rounds: number;
    readonly seconds: number;
    readonly generatorCore: number | undefined;
  };
  readonly contenders: readonly Attendance[];
  readonly results: readonly Result[];
}

/** Those that the others are compared with. */
const yardsticks = ["direct", "nginx2", "names-10", "bare"];
/** Who is compared with all others, in a line of its own. */
const subject = "underpass";

/** For docs/performance.md: everything that is needed to judge the figures and to make them again. */
export function toMarkdown(report: Report): string {
  const { machine, settings } = report;
  const programs = Object.entries(machine.programs)
    .map(([name, version]) => `${name} ${version}`)
    .join(", ");
  const out = [
    `Made by \`${report.command}\` at commit ${machine.commit}, ${machine.date}Z.`,
    "",
    `Machine: ${machine.cores} cores of ${machine.cpu}, ${machine.memoryGiB} GiB, ${machine.system}; ${programs}; load average before the run ${machine.loadBefore.toFixed(2)}.`,
    `${settings.rounds} rounds of ${settings.seconds} s each, contenders in turn, every second round backwards. The load generator shares the cores with what it measures${settings.generatorCore === undefined ? "" : ` (held to core ${settings.generatorCore})`}: absolute figures belong to this machine, ratios are the result.`,
    "Cells: median (lowest to highest round). Ratios are made within a round, of the first figure. CPU and peak RSS are those of the contender's own processes on that way.",
    "",
    ...report.contenders.map(
      ({ name, about, absent }) =>
        `- \`${name}\`: ${about}${absent === undefined ? "" : `; **left out**: ${absent}`}`,
    ),
  ];
  for (const result of report.results) {
    const { workload, note } = result;
    out.push("", `### ${workload.name}`, "", `${workload.about}${note === "" ? "" : `; ${note}`}.`, "");
    const table = tableOf(result);
    out.push(
      line(table[0] ?? []),
      line((table[0] ?? []).map((_cell, index) => (index === 0 ? "---" : "---:"))),
    );
    for (const cells of table.slice(1)) out.push(line(cells));
    const comparison = comparisonOf(result);
    if (comparison !== "") out.push("", comparison);
    for (const { contender, faults } of result.rows) {
      if (faults.length > 0) out.push("", `${contender}: ${faults.length} failed: ${faults[0]}`);
    }
  }
  return `${out.join("\n")}\n`;
}

/** For a terminal. */
export function toText(report: Report): string {
  const out: string[] = [];
  for (const result of report.results) {
    const table = tableOf(result);
    const widths = (table[0] ?? []).map((_cell, index) =>
      Math.max(...table.map((cells) => (cells[index] ?? "").length)),
    );
    out.push(
      "",
      `${result.workload.name}: ${result.workload.about}${result.note === "" ? "" : `; ${result.note}`}`,
    );
    for (const cells of table) {
      out.push(
        `  ${cells.map((cell, index) => (index === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[index] ?? 0))).join("  ")}`,
      );
    }
    const comparison = comparisonOf(result);
    if (comparison !== "") out.push(`  ${comparison}`);
    for (const { contender, faults } of result.rows) {
      if (faults.length > 0) out.push(`  ${contender}: ${faults.length} failed: ${faults[0]}`);
    }
  }
  return out.join("\n");
}

/** The subject's first figure as a multiple of each other's. */
function comparisonOf({ rows }: Result): string {
  const ratios = Object.entries(rows.find(({ contender }) => contender === subject)?.ratios ?? {});
  return ratios.length === 0
    ? ""
    : `${subject}: ${ratios.map(([other, ratio]) => `${spread(ratio)} x ${other}`).join(", ")}`;
}

function tableOf({ workload, rows }: Result): string[][] {
  const against = yardsticks.filter((name) => rows.some(({ contender }) => contender === name));
  const [first, ...others] = workload.metrics;
  return [
    [
      "",
      first === undefined ? "" : `${first.name}, ${first.unit} (${first.better} is better)`,
      ...against.map((name) => `x ${name}`),
      ...others.map(({ name, unit }) => `${name}, ${unit}`),
      `CPU s / ${workload.workUnit}`,
      "peak RSS, MiB",
    ],
    ...rows.map((row) => [
      row.contender,
      spread(row.metrics[first?.name ?? ""]),
      ...against.map((name) => (row.contender === name ? "1" : spread(row.ratios[name]))),
      ...others.map(({ name }) => figure(row.metrics[name]?.median)),
      costs(row, ({ cpuSeconds }) => cpuSeconds, figure),
      costs(
        row,
        ({ peakRssMiB }) => peakRssMiB,
        (value) => String(Math.round(value ?? 0)),
      ),
    ]),
  ];
}

function costs(
  row: Row,
  pick: (cost: Row["costs"][number]) => number,
  show: (value: number | undefined) => string,
): string {
  return row.costs.map((cost) => `${cost.role} ${show(pick(cost))}`).join(", ");
}

function spread(summary: Summary | undefined): string {
  if (summary === undefined) return "-";
  return `${figure(summary.median)} (${figure(summary.low)} to ${figure(summary.high)})`;
}

/** Three digits that matter; no exponent. */
function figure(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return "-";
  if (Math.abs(value) >= 1_000) return Math.round(value).toLocaleString("en");
  return Number(value.toPrecision(3)).toString();
}

function line(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}
