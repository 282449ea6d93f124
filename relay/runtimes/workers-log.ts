import type { RelayLog } from "../log.ts";

/** One JSON object a line: what `wrangler tail` and Workers Logs take apart by member. */
export const consoleLog: RelayLog = {
  write(event) {
    console.log(JSON.stringify(event));
  },
};
