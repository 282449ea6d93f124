// Every script of package.json goes through this file: it installs what is missing, then runs the project's own
// pinned Bun. Plain JavaScript without dependencies, because it must start under Node (npm) and under Bun alike:
// where there is no Node, `bun run` puts a `node` that is Bun on the PATH.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const bun = join(root, "node_modules", "bun", "bin", "bun.exe");
const stamp = join(root, "node_modules", ".installed");

/** What the folder was installed from: node_modules is stale as soon as this differs from the stamp. */
function wanted() {
  const hash = createHash("sha256");
  for (const file of ["package.json", "bun.lock"]) hash.update(readFileSync(join(root, file)));
  return hash.digest("hex");
}

/** A Bun to install with: the one that started us, or one that npx fetches. */
function installer() {
  const { version, majorMinor } = pinned();
  const starter = process.versions.bun ? process.execPath : (process.env["npm_execpath"] ?? "");
  const startedByBun = process.versions.bun || /(^|[\\/])bunx?(\.exe)?$/.test(starter);
  if (!startedByBun) return ["npx", "--yes", `bun@${version}`];
  const found = spawnSync(starter, ["--version"], { encoding: "utf8" }).stdout ?? "";
  return found.startsWith(`${majorMinor}.`) ? [starter] : [starter, "x", `bun@${version}`];
}

function pinned() {
  const version = JSON.parse(readFileSync(join(root, "package.json"), "utf8")).devDependencies.bun;
  return { version, majorMinor: version.split(".").slice(0, 2).join(".") };
}

function install() {
  const [command, ...rest] = installer();
  // npx is a .cmd file on Windows, which only a shell can start. stdout stays clean for the command itself.
  const result = spawnSync(command, [...rest, "install", "--frozen-lockfile"], {
    cwd: root,
    stdio: ["ignore", 2, 2],
    shell: process.platform === "win32",
  });
  if (result.status !== 0) {
    console.error(`Installing failed (${[command, ...rest].join(" ")} install --frozen-lockfile).`);
    process.exit(result.status || 1);
  }
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, wanted());
}

const fresh = existsSync(bun) && existsSync(stamp) && readFileSync(stamp, "utf8") === wanted();
if (!fresh) install();

const child = spawn(bun, process.argv.slice(2), {
  cwd: root,
  stdio: "inherit",
  env: { ...process.env, PATH: [join(root, "node_modules", ".bin"), process.env["PATH"]].join(delimiter) },
});
// A terminal's Ctrl-C reaches the whole group by itself; passing it on would make it the second one.
process.on("SIGINT", () => process.stdin.isTTY || child.kill("SIGINT"));
process.on("SIGTERM", () => child.kill("SIGTERM"));
process.on("SIGHUP", () => child.kill("SIGHUP"));
child.on("error", (error) => {
  console.error(error.message);
  process.exit(1);
});
child.on("exit", (code, signal) => process.exit(code ?? (signal === "SIGINT" ? 130 : 143)));
