/** `bun run build:relay`: dist/underpass-relay runs with nothing beside it. Prints its size. */
import { buildBinary, printSizes } from "./build-binary.ts";

await buildBinary("relay/runtimes/bun-program.ts", "dist/underpass-relay");
await printSizes("dist/underpass-relay");
