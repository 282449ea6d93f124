import type { Contender, Course, Target, Way } from "./contender.ts";
import { targetsOf } from "./targets.ts";

/** Nothing between visitor and origin. Under two names it is its own noise floor (A-A). */
export function direct(name: string, about: string): Contender {
  return {
    name,
    about,
    ways: ["web", "sink", "chat", "tcp", "stream"],
    absent: async () => undefined,
    start: async (course) => ({
      targets: await targetsOf(course.ways, async (way) => target(course, way)),
      stop: async () => {},
    }),
  };
}

function target({ site, origins }: Course, way: Way): Target {
  const { port, pid } = origins.of(way);
  const host = site.privateHost;
  return { host, port, authority: `${host}:${port}`, processes: [{ role: "origin", pid }] };
}
