import { createRequire } from "node:module";
import { wranglerToml } from "./wrangler-toml.ts";

export const workersVariable = "UNDERPASS_TEST_WORKERS";

/** Which end of what is claimed the relay is run at: `UNDERPASS_TEST_WORKERS`, `newest` where nothing is said. */
export interface WorkersDate {
  readonly name: "newest" | "oldest";
  readonly compatibilityDate: string;
  readonly compatibilityFlags: readonly string[];
  /** The program: a newer one has more to offer at the same date. */
  readonly workerd: string;
  /**
   * How many links an agent may open at once where its object is to sleep or to be deployed: workerd before 2026-08
   * never lets go of an object to which two WebSockets were opened at once (its issue 6862).
   */
  readonly links: 1 | 2;
}

/**
 * The oldest that is claimed (wrangler.toml, docs/deploy.md): from this day on the platform answers a WebSocket's close
 * frame by itself, as it does today. A flag that is on by default at the newest date may be given only here.
 */
const oldest = { date: "2026-04-07", flags: ["enable_request_signal"] };

const require = createRequire(import.meta.url);

const asked = () => process.env[workersVariable] ?? "newest";

/** The newest is what wrangler.toml says, in the workerd of the newest wrangler; the oldest runs in that of Miniflare. */
export function workersDate(name: string = asked()): WorkersDate {
  switch (name) {
    case "newest": {
      const { compatibility_date: compatibilityDate, compatibility_flags: compatibilityFlags } =
        wranglerToml();
      const workerd = workerdOf("wrangler/package.json");
      return { name, compatibilityDate, compatibilityFlags, workerd, links: 2 };
    }
    case "oldest":
      return {
        name,
        compatibilityDate: oldest.date,
        compatibilityFlags: oldest.flags,
        workerd: workerdOf("miniflare"),
        links: 1,
      };
    default:
      throw new Error(`${workersVariable} is newest or oldest, not ${name}`);
  }
}

/** Where the workerd is that a package depends on. */
function workerdOf(file: string): string {
  const found: unknown = createRequire(require.resolve(file))("workerd").default;
  if (typeof found !== "string") throw new Error(`no workerd for ${file}: run \`bun install\``);
  return found;
}
