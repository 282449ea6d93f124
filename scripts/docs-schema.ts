/** Writes docs/underpass.schema.json from the schema in agent/config/schema.ts: `npm run docs:schema`. */
import { configJsonSchema } from "./config-json-schema.ts";

const root = new URL("..", import.meta.url).pathname;
const file = `${root}docs/underpass.schema.json`;

await Bun.write(file, JSON.stringify(configJsonSchema(), null, 2));
Bun.spawnSync([process.execPath, `${root}node_modules/@biomejs/biome/bin/biome`, "format", "--write", file]);
