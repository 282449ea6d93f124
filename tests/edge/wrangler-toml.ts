import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";

const schema = v.object({
  compatibility_date: v.string(),
  compatibility_flags: v.array(v.string()),
  durable_objects: v.object({
    bindings: v.array(v.object({ name: v.string(), class_name: v.string() })),
  }),
  migrations: v.array(v.object({ tag: v.string(), new_sqlite_classes: v.array(v.string()) })),
});

/** What wrangler.toml says, as far as the tests go by it: what is deployed is what is tested. */
export function wranglerToml(): v.InferOutput<typeof schema> {
  return v.parse(schema, Bun.TOML.parse(readFileSync(join(import.meta.dir, "../../wrangler.toml"), "utf8")));
}
