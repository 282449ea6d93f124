import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../programs/free-port.ts";
import { Program } from "../programs/program.ts";
import { projectRoot } from "../programs/relay.ts";

export interface ViteOrigin {
  readonly port: number;
  /** Writes the module that is replaced while the page is open. */
  say(word: string): Promise<void>;
  stop(): Promise<void>;
}

const page = `<!doctype html><title>vite</title><link rel="stylesheet" href="/style.css"><h1 id="word"></h1>
<img id="image" src="/image.svg"><script type="module" src="/main.ts"></script>`;
const main = `import { word } from "./word.ts";
const show = (text: string) => { document.querySelector("#word")!.textContent = text; };
show(word);
Object.assign(window, { loadedAt: performance.timeOrigin });
import.meta.hot?.accept("./word.ts", (next) => show(next?.word));`;

/** Vite's dev server for a small page with a stylesheet, an image and a module that accepts updates. */
export async function startVite(): Promise<ViteOrigin> {
  const root = await mkdtemp(join(tmpdir(), "underpass-vite-"));
  const say = (word: string) =>
    writeFile(join(root, "word.ts"), `export const word = ${JSON.stringify(word)};\n`);
  await writeFile(join(root, "index.html"), page);
  await writeFile(join(root, "main.ts"), main);
  await writeFile(join(root, "style.css"), "h1 { color: rgb(1, 2, 3); }\n");
  await writeFile(
    join(root, "image.svg"),
    '<svg xmlns="http://www.w3.org/2000/svg" width="7" height="7"/>\n',
  );
  await say("first");
  const port = await freePort();
  const vite = join(projectRoot, "node_modules/vite/bin/vite.js");
  const switches = ["--host", "127.0.0.1", "--port", String(port), "--strictPort", "--clearScreen", "false"];
  const program = new Program([process.execPath, vite, root, ...switches], { cwd: root });
  await program.output((stdout) => stdout.includes("ready in"));
  return {
    port,
    say,
    stop: async () => {
      await program.kill();
      await rm(root, { recursive: true, force: true });
    },
  };
}
