/** Writes docs/errors.md from the table in shared/errors.ts: `npm run docs:errors`. */
import { errorsPage } from "./errors-page.ts";

await Bun.write(new URL("../docs/errors.md", import.meta.url), errorsPage());
