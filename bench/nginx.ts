import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Child } from "./child.ts";

export interface Nginx {
  readonly pid: number;
  readonly ports: readonly number[];
  stop(): Promise<void>;
}

const attempts = 5;
const acceptPollMs = 20;
const acceptPolls = 250;

/**
 * One nginx in one process, set up in a folder of its own. nginx can't say which port it took, so free ones are looked
 * up first and passed to `http`, which returns the inside of the `http` block; when another program was quicker, again.
 */
export async function startNginx(
  portCount: number,
  http: (ports: readonly number[]) => string,
): Promise<Nginx> {
  let fault: unknown;
  for (let attempt = 0; attempt < attempts; attempt++) {
    const folder = await mkdtemp(join(tmpdir(), "underpass-bench-nginx-"));
    const ports = await freePorts(portCount);
    await Bun.write(join(folder, "nginx.conf"), configuration(folder, http(ports)));
    const child = new Child({
      command: ["nginx", "-p", folder, "-c", join(folder, "nginx.conf"), "-e", "stderr"],
    });
    const stop = async (): Promise<void> => {
      await child.stop();
      await rm(folder, { recursive: true, force: true });
    };
    try {
      for (const port of ports) await accepts(port, child);
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

async function freePorts(count: number): Promise<number[]> {
  const holders = await Promise.all(
    Array.from({ length: count }, async () => {
      const holder = createServer();
      await new Promise<void>((resolve) => holder.listen(0, "127.0.0.1", resolve));
      return holder;
    }),
  );
  return Promise.all(
    holders.map(async (holder) => {
      const address = holder.address();
      await new Promise<unknown>((resolve) => holder.close(resolve));
      return typeof address === "object" && address !== null ? address.port : 0;
    }),
  );
}

async function accepts(port: number, child: Child): Promise<void> {
  for (let poll = 0; poll < acceptPolls; poll++) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1");
      socket.on("connect", () => resolve(true)).on("error", () => resolve(false));
      socket.on("connect", () => socket.destroy());
    });
    if (open && child.running) return;
    if (!child.running) break;
    await Bun.sleep(acceptPollMs);
  }
  throw new Error(`nginx does not accept on ${port}`);
}
