import { installed } from "../child.ts";
import { type Nginx, startNginx } from "../nginx.ts";
import type { Contender, Target } from "./contender.ts";

interface Variant {
  readonly name: string;
  readonly about: string;
  /** More directives for each proxied place. */
  readonly directives: string;
}

/**
 * Two reverse proxies in a row, one worker each, idle sockets kept on all hops. Request bodies are passed on as they
 * come, since nginx's default (the whole body to a file first) is slower.
 */
export function twoNginx({ name, about, directives }: Variant): Contender {
  return {
    name,
    about: `two nginx reverse proxies in a row, 1 worker each, keepalive on every hop, no access log, proxy_request_buffering off; ${about}`,
    absent: async () => ((await installed("nginx")) ? undefined : "nginx is not installed"),
    async start(origins) {
      const back = await startHop([origins.web.port, origins.sink.port], directives);
      const front = await startHop(back.ports, directives);
      const target = (index: number): Target => ({
        host: "127.0.0.1",
        port: front.ports[index] ?? 0,
        authority: "blue.localhost",
        processes: [
          { role: "front", pid: front.pid },
          { role: "back", pid: back.pid },
        ],
      });
      return {
        web: target(0),
        sink: target(1),
        async stop() {
          await front.stop();
          await back.stop();
        },
      };
    },
  };
}

/** One proxy that passes each of its ports on to the one of `next` at the same place. */
function startHop(next: readonly number[], directives: string): Promise<Nginx> {
  const site = (port: number, index: number): string =>
    `upstream next${index} { server 127.0.0.1:${next[index]}; keepalive 512; keepalive_requests 100000000; }
  server { listen 127.0.0.1:${port} backlog=4096; location / {
    proxy_pass http://next${index}; proxy_http_version 1.1; proxy_request_buffering off; ${directives}
    proxy_set_header Connection ""; proxy_set_header Host $host; } }`;
  return startNginx(next.length, (ports) => ports.map(site).join("\n  "));
}
