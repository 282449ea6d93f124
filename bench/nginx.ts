import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Child } from "./child.ts";
import { accepts, freePorts } from "./ports.ts";
import type { Site } from "./site.ts";

export interface Nginx {
  readonly pid: number;
  readonly ports: readonly number[];
  stop(): Promise<void>;
}

export interface NginxOptions {
  /** Where its ports are reached from here. */
  readonly host: string;
  readonly privately?: Site["privately"];
  readonly portCount: number;
  http(ports: readonly number[]): string;
}

const attempts = 5;

/**
 * One nginx in one process, set up in a folder of its own. nginx can't say which port it took, so free ones are looked
 * up first and passed to `http`, which returns the inside of the `http` block; when another program was quicker, again.
 */
export async function startNginx({ host, privately, portCount, http }: NginxOptions): Promise<Nginx> {
  let fault: unknown;
  for (let attempt = 0; attempt < attempts; attempt++) {
    const folder = await mkdtemp(join(tmpdir(), "underpass-bench-nginx-"));
    const ports = await freePorts(portCount);
    await Bun.write(join(folder, "nginx.conf"), configuration(folder, http(ports)));
    const command = ["nginx", "-p", folder, "-c", join(folder, "nginx.conf"), "-e", "stderr"];
    const child = new Child({ command: privately?.(command) ?? command });
    const stop = async (): Promise<void> => {
      await child.stop();
      await rm(folder, { recursive: true, force: true });
    };
    try {
      for (const port of ports) await accepts(host, port, child);
      return { pid: child.pid, ports, stop };
    } catch (error) {
      fault = error;
      await stop();
    }
  }
  throw new Error("nginx did not start", { cause: fault });
}

/** `master_process off`: one worker, whose pid is the one we have. Idle sockets are kept, whatever their count. */
function configuration(folder: string, http: string): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  return `daemon off; master_process off; worker_processes 1;
pid ${folder}/pid; error_log stderr error;
events { worker_connections 8192; }
http {
  access_log off; default_type application/octet-stream;
  sendfile on; tcp_nopush on; tcp_nodelay on;
  keepalive_requests 100000000; keepalive_timeout 600s; client_max_body_size 0;
  ${temporary.map((kind) => `${kind}_temp_path ${folder}/${kind};`).join(" ")}
  ${http}
}
`;
}
