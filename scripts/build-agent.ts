/** `bun run build:agent`: dist/underpass runs with nothing beside it, dist/agent.js with Bun. Prints both sizes. */
import { buildBinary, bunBuild, printSizes } from "./build-binary.ts";

await bunBuild("agent.ts", "--target=bun", "--minify", "--outfile=dist/agent.js");
await buildBinary("agent.ts", "dist/underpass");
await printSizes("dist/underpass", "dist/agent.js");
