import { describe, expect, test } from "bun:test";
import { createRequire } from "node:module";
import { join } from "node:path";
import { Miniflare } from "miniflare";
import { workersDate } from "./workers-date.ts";

const require = createRequire(import.meta.url);
const script = `export default {
  fetch: () => Response.json({ ...Cloudflare.compatibilityFlags, bufferedAmount: "bufferedAmount" in WebSocket.prototype, process: typeof process }),
};`;

/** What a Worker finds there. */
async function findings(name: string): Promise<Record<string, unknown>> {
  const { workerd, compatibilityDate, compatibilityFlags } = workersDate(name);
  process.env["MINIFLARE_WORKERD_PATH"] = workerd;
  const miniflare = new Miniflare({
    ...{ script, modules: true, compatibilityDate },
    compatibilityFlags: [...compatibilityFlags],
  });
  try {
    const answer = await miniflare.dispatchFetch("http://127.0.0.1/");
    return (await answer.json()) as Record<string, unknown>;
  } finally {
    await miniflare.dispose();
  }
}

describe("the two dates that the relay is tested at", () => {
  test("newest: the date of the newest workerd that is installed, with what it alone has", async () => {
    const wrangler = createRequire(require.resolve("wrangler/package.json"));
    expect(workersDate("newest").compatibilityDate).toBe(wrangler("workerd").compatibilityDate);
    expect(await findings("newest")).toMatchObject({
      ...{ enable_request_signal: true, durable_object_io_tasks_prevent_eviction: true },
      ...{ bufferedAmount: true, process: "undefined" },
    });
  });

  test("oldest: another workerd, without it, and the date that wrangler.toml claims", async () => {
    const { workerd, compatibilityDate } = workersDate("oldest");
    expect(workerd).not.toBe(workersDate("newest").workerd);
    expect(await Bun.file(join(import.meta.dir, "../../wrangler.toml")).text()).toContain(compatibilityDate);
    const found = await findings("oldest");
    expect(found).toMatchObject({
      ...{ enable_request_signal: true, web_socket_auto_reply_to_close: true },
      ...{ bufferedAmount: false, process: "undefined" },
    });
    expect(found).not.toHaveProperty("durable_object_io_tasks_prevent_eviction");
  });

  test("there is no third", () => {
    expect(() => workersDate("older")).toThrow("newest or oldest");
  });
});
