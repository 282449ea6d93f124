import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { installed } from "./installed.ts";
import { Program } from "./program.ts";
import { projectRoot } from "./relay.ts";

const version = "0.1.0";
const folder = join(projectRoot, ".cache", `kosoku-${version}`);
/** Framing, pings, reserved bits, opcodes, fragments, UTF-8, closing; 8 to 13 are about limits and compression. */
const chapters = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*"];

/** The Autobahn cases for WebSocket (kosoku from the Python package index), in a folder of their own under .cache/. */
export class Kosoku {
  private constructor(readonly path: string) {}

  /** Undefined, and a line that says why, where it can't be installed: no Python of 3.10 or newer, or no index. */
  static async install(): Promise<Kosoku | undefined> {
    const path = join(folder, "bin/kosoku");
    if (existsSync(path)) return new Kosoku(path);
    const python = installed("python3");
    if (python === undefined) return undefined;
    for (const command of [
      [python, "-m", "venv", folder],
      [
        join(folder, "bin/python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        `kosoku==${version}`,
      ],
    ]) {
      const program = new Program(command);
      if ((await program.exited) !== 0) {
        console.warn(`The Autobahn cases are left out: ${program.stderr.trim().split("\n").at(-1)}`);
        await rm(folder, { recursive: true, force: true });
        return undefined;
      }
    }
    return existsSync(path) ? new Kosoku(path) : undefined;
  }

  /** The verdicts on the WebSocket at `url`, by case: what was exchanged, and how it was closed. */
  async verdicts(url: string): Promise<Record<string, string>> {
    const out = await mkdtemp(join(tmpdir(), "underpass-kosoku-"));
    const program = new Program([
      this.path,
      url,
      ...chapters.flatMap((chapter) => ["-i", chapter]),
      "-p",
      "4",
      "-o",
      out,
    ]);
    await program.exited;
    const report: Record<
      string,
      Record<string, { behavior: string; behaviorClose: string }>
    > = await Bun.file(join(out, "index.json")).json();
    await rm(out, { recursive: true, force: true });
    const cases = Object.entries(Object.values(report)[0] ?? {});
    return Object.fromEntries(
      cases.map(([id, { behavior, behaviorClose }]) => [id, verdict(behavior, behaviorClose)]),
    );
  }
}

/** OK and NON-STRICT are both conformant and count alike. */
function verdict(behavior: string, close: string): string {
  return `${behavior === "NON-STRICT" ? "OK" : behavior}, ${close}`;
}
