import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../programs/free-port.ts";
import { installed } from "../programs/installed.ts";
import { Program } from "../programs/program.ts";

export interface Nginx {
  readonly port: number;
  /** What is under `/`; a PUT to `/put/NAME` lands in `put/`. */
  readonly root: string;
  stop(): Promise<void>;
}

/** nginx in the foreground with one worker, its files in a folder of its own. */
export async function startNginx(): Promise<Nginx> {
  const binary = installed("nginx", "/usr/sbin/nginx");
  if (binary === undefined) throw new Error("nginx is not installed");
  const folder = await mkdtemp(join(tmpdir(), "underpass-nginx-"));
  const port = await freePort();
  await mkdir(join(folder, "www/put"), { recursive: true });
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (kind) => `${kind}_temp_path ${folder}/${kind};`,
  );
  await writeFile(
    join(folder, "nginx.conf"),
    `daemon off; master_process off; pid ${folder}/pid; error_log stderr notice; ${process.getuid?.() === 0 ? "user root;" : ""}
events { worker_connections 4096; }
http {
  ${temporary.join(" ")}
  access_log off; sendfile on; client_max_body_size 0; keepalive_requests 1000000;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    root ${folder}/www;
    location /put/ { dav_methods PUT DELETE; }
    location /shout { add_header X-Case YES always; return 418 "teapot"; }
  }
}
`,
  );
  const program = new Program([binary, "-p", folder, "-e", "stderr", "-c", join(folder, "nginx.conf")]);
  await program.output((_, stderr) => stderr.includes("event method"));
  return {
    port,
    root: join(folder, "www"),
    stop: async () => {
      await program.kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
