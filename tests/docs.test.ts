import { expect, test } from "bun:test";
import { dirname, join, normalize } from "node:path";
import { errorsPage } from "../scripts/errors-page.ts";

const root = join(import.meta.dir, "..");

test("docs/errors.md is what `npm run docs:errors` writes", async () => {
  expect(await Bun.file(join(root, "docs/errors.md")).text()).toBe(errorsPage());
});

// Code is not looked at: a pattern such as [a-z](x) is no link.
test("a link between pages leads to a file that exists", async () => {
  const pages = ["*.md", "docs/*.md"].flatMap((pattern) => [...new Bun.Glob(pattern).scanSync(root)]);
  expect(pages).toContain("README.md");
  const lost: string[] = [];
  for (const page of pages) {
    const text = (await Bun.file(join(root, page)).text()).replace(/```[\s\S]*?```|`[^`\n]*`|^ {4}.*$/gm, "");
    for (const [, target = ""] of text.matchAll(/\]\(([^)#\s]+)[^)]*\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const path = normalize(join(dirname(page), target));
      if (!(await Bun.file(join(root, path)).exists())) lost.push(`${page}: ${target}`);
    }
  }
  expect(lost).toEqual([]);
});

test("what `npm run` starts is a file that exists", async () => {
  const { scripts } = (await Bun.file(join(root, "package.json")).json()) as {
    scripts: Record<string, string>;
  };
  const lost: string[] = [];
  for (const [name, command] of Object.entries(scripts)) {
    const file = command.split(" ").find((word) => word.endsWith(".ts"));
    if (file !== undefined && !(await Bun.file(join(root, file)).exists())) lost.push(`${name}: ${file}`);
  }
  expect(lost).toEqual([]);
});

test("bun.lock names no registry host", async () => {
  expect(await Bun.file(join(root, "bun.lock")).text()).not.toMatch(/https?:\/\//);
});
