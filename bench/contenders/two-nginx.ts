import { type Nginx, startNginx } from "../nginx.ts";
import { absentWithout } from "../peers/found.ts";
import type { Site } from "../site.ts";
import type { Contender } from "./contender.ts";
import { targetsOf } from "./targets.ts";

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
    ways: ["web", "sink", "chat"],
    absent: () => absentWithout("nginx"),
    async start({ site, origins, ways }) {
      const originPorts = ways.map((way) => origins.of(way).port);
      const back = await startHop({
        host: site.privateHost,
        listen: site.originHost,
        privately: site.privately,
        next: originPorts.map((port) => `127.0.0.1:${port}`),
        directives,
      });
      const front = await startHop({
        host: "127.0.0.1",
        listen: "127.0.0.1",
        next: back.ports.map((port) => `${site.privateHost}:${port}`),
        directives,
      });
      return {
        targets: await targetsOf(ways, async (way) => ({
          host: "127.0.0.1",
          port: front.ports[ways.indexOf(way)] ?? 0,
          authority: "blue.localhost",
          processes: [
            { role: "front", pid: front.pid },
            { role: "back", pid: back.pid },
          ],
        })),
        async stop() {
          await front.stop();
          await back.stop();
        },
      };
    },
  };
}

interface Hop {
  /** Where it is reached from here. */
  readonly host: string;
  readonly listen: string;
  readonly privately?: Site["privately"];
  /** Each port of the hop leads to the one at the same place. */
  readonly next: readonly string[];
  readonly directives: string;
}

function startHop({ host, listen, privately, next, directives }: Hop): Promise<Nginx> {
  const site = (port: number, index: number): string =>
    `upstream next${index} { server ${next[index]}; keepalive 512; keepalive_requests 100000000; }
  server { listen ${listen}:${port} backlog=4096; location / {
    proxy_pass http://next${index}; proxy_http_version 1.1; proxy_request_buffering off; ${directives}
    proxy_set_header Connection $next_wish; proxy_set_header Upgrade $http_upgrade; proxy_set_header Host $host; } }`;
  // Keep-alive wants an empty Connection, a WebSocket wants its own.
  const wish = 'map $http_upgrade $next_wish { default upgrade; "" ""; }';
  return startNginx({
    host,
    ...(privately === undefined ? {} : { privately }),
    portCount: next.length,
    http: (ports) => [wish, ...ports.map(site)].join("\n  "),
  });
}
