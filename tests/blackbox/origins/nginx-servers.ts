import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { installed } from "../programs/installed.ts";
import { Program } from "../programs/program.ts";

/** The binary, wherever Debian has it; undefined: not installed. */
export function nginxPath(): string | undefined {
  return installed("nginx", "/usr/sbin/nginx");
}

/** nginx with these `server` blocks, in the foreground with one worker. Returns what ends it. */
export async function startNginxServers(servers: string): Promise<() => Promise<void>> {
  const binary = nginxPath();
  if (binary === undefined) throw new Error("nginx is not installed");
  const folder = await mkdtemp(join(tmpdir(), "underpass-nginx-"));
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (kind) => `${kind}_temp_path ${folder}/${kind};`,
  );
  await writeFile(
    join(folder, "nginx.conf"),
    `daemon off; master_process off; pid ${folder}/pid; error_log stderr notice; ${process.getuid?.() === 0 ? "user root;" : ""}
events {}
http { ${temporary.join(" ")} access_log off;
${servers}
}
`,
  );
  const program = new Program([binary, "-p", folder, "-e", "stderr", "-c", join(folder, "nginx.conf")]);
  await program.output((_, stderr) => stderr.includes("event method"));
  return async () => {
    await program.kill();
    await rm(folder, { recursive: true, force: true });
  };
}
