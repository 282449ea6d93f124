import { dirname, join, normalize, relative } from "node:path";

/** One source file as the layer rules see it. */
export interface Source {
  /** From the project's root, with "/". */
  readonly path: string;
  readonly lines: number;
  /** What it imports, types too: paths of the project for relative ones, else the specifier as written. */
  readonly imports: readonly string[];
  /** The text without comments and literals, so that a word in it is a name. */
  readonly code: string;
}

const root = join(import.meta.dir, "..");
const folders = ["relay", "agent", "shared", "packages", "tests", "bench", "scripts", "examples"];

/** Comments and literals, in the order in which a reader meets them. Regular expressions with quotes are not told apart. */
const silent = /\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`/g;
const specifier = /(?:\bfrom|\bimport)\s*\(?\s*["']([^"'\n]+)["']/g;

export function readSource(path: string, text: string): Source {
  const withoutComments = text.replace(silent, (part) => (part.startsWith("/") ? "" : part));
  const imports = [...withoutComments.matchAll(specifier)].map(([, name = ""]) =>
    name.startsWith(".") ? normalize(join(dirname(path), name)) : name,
  );
  const code = text.replace(silent, (part) =>
    part.startsWith("`") ? [...part.matchAll(/\$\{([^}]*)\}/g)].map(([, inner]) => inner).join(" ") : " ",
  );
  return { path, lines: text.split("\n").length - 1, imports, code };
}

/** All TypeScript of the project. */
export async function readSources(): Promise<Source[]> {
  const paths = [...new Bun.Glob("*.ts").scanSync(root)];
  for (const folder of folders) {
    for (const path of new Bun.Glob(`${folder}/**/*.{ts,tsx}`).scanSync(root)) {
      if (!path.includes("node_modules")) paths.push(relative(root, join(root, path)));
    }
  }
  return Promise.all(
    paths.sort().map(async (path) => readSource(path, await Bun.file(join(root, path)).text())),
  );
}
