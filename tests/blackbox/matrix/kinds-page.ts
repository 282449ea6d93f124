import { readFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../programs/relay.ts";
import { type Cell, links, runtimes, ways } from "./cells.ts";

export const kindsPage = join(projectRoot, "docs/kinds.md");
const begin = "<!-- table: npm run docs:kinds -->";
const end = "<!-- end of table -->";

/** What people call what the tests call `private`, `via` and `egress`. */
const rowNames: Readonly<Record<(typeof ways)[number], string>> = {
  http: "http",
  tcp: "tcp",
  tls: "tls",
  udp: "udp",
  private: "private + connect",
  via: "proxy --via",
  egress: "proxy",
};
const linkNames = { ws: "WebSocket", sse: "SSE + POST" } as const;
const runtimeNames = { bun: "Bun", deno: "Deno", workerd: "Workers" } as const;

/** The page with the table of these cells in it, in place of the one that was there. */
export function withTable(page: string, cells: readonly Cell[]): string {
  const from = page.indexOf(begin);
  const to = page.indexOf(end);
  if (from < 0 || to < from) throw new Error(`${kindsPage} has no place for the table`);
  return `${page.slice(0, from + begin.length)}\n\n${table(cells)}\n\n${page.slice(to)}`;
}

/** What the page says of this cell; undefined: nothing. */
export function onPage({ way, link, runtime }: Omit<Cell, "result">): string | undefined {
  const page = readFileSync(kindsPage, "utf8");
  const row = page.split("\n").find((line) => line.startsWith(`| ${rowNames[way]} | ${linkNames[link]} |`));
  return row
    ?.split("|")
    .at(3 + runtimes.indexOf(runtime))
    ?.trim();
}

export function shown({ result }: Pick<Cell, "result">): string {
  return result === "carried" ? "yes" : `\`${result}\``;
}

function table(cells: readonly Cell[]): string {
  const lines = [
    `| kind | link | ${runtimes.map((runtime) => `relay on ${runtimeNames[runtime]}`).join(" | ")} |`,
    `| --- | --- | ${runtimes.map(() => "---").join(" | ")} |`,
  ];
  for (const way of ways) {
    for (const link of links) {
      const results = runtimes.map((runtime) => {
        const cell = cells.find((one) => one.way === way && one.link === link && one.runtime === runtime);
        return cell === undefined ? "not run" : shown(cell);
      });
      lines.push(`| ${rowNames[way]} | ${linkNames[link]} | ${results.join(" | ")} |`);
    }
  }
  return lines.join("\n");
}
