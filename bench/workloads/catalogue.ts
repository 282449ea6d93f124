import type { bodies } from "../origins.ts";
import { Bulk } from "./bulk.ts";
import { Latency } from "./latency.ts";
import { Messages } from "./messages.ts";
import { Mixed } from "./mixed.ts";
import { Saturation } from "./saturation.ts";
import { Stream } from "./stream.ts";
import type { Workload } from "./workload.ts";

const crowds = [1, 32, 256] as const;
const paths = ["/10b", "/10kb", "/1mb"] as const satisfies (keyof typeof bodies)[];

/** All workloads, in the order in which they are run. */
export function catalogue(): Workload[] {
  const requests = (way: "web" | "tcp"): Workload[] =>
    paths.flatMap((path) => crowds.map((sockets) => new Saturation({ way, path, sockets })));
  return [
    ...requests("web"),
    ...requests("tcp"),
    ...([1, 16] as const).flatMap((streams) =>
      (["down", "up", "both"] as const).map((direction) => new Stream(direction, streams)),
    ),
    new Bulk("down"),
    new Bulk("up"),
    ...(["web", "tcp"] as const).flatMap((way) => [
      new Latency(way, "quarter"),
      new Latency(way, "half"),
      new Mixed(way, { held: true }),
      new Mixed(way, { held: false }),
    ]),
    ...(["web", "tcp"] as const).map((way) => new Saturation({ way, path: "/10b", sockets: 32, once: true })),
    new Messages({ sockets: 1, depth: 1 }),
    new Messages({ sockets: 32, depth: 1 }),
    new Messages({ sockets: 32, depth: 16 }),
  ];
}
