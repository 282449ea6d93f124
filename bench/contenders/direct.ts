import type { Origin } from "../origins.ts";
import type { Contender, Target } from "./contender.ts";

/** Nothing between visitor and origin. Under two names it is its own noise floor (A-A). */
export function direct(name: string, about: string): Contender {
  return {
    name,
    about,
    absent: async () => undefined,
    start: async (origins) => ({
      web: target(origins.web),
      sink: target(origins.sink),
      stop: async () => {},
    }),
  };
}

function target({ port, pid }: Origin): Target {
  return { host: "127.0.0.1", port, authority: `127.0.0.1:${port}`, processes: [{ role: "origin", pid }] };
}
