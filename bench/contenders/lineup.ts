import type { Contender } from "./contender.ts";
import { direct } from "./direct.ts";
import { twoNginx } from "./two-nginx.ts";
import { underpass } from "./underpass.ts";

/** Who takes part, in the order of a round. The second `direct` is the noise floor. */
export const lineup: readonly Contender[] = [
  direct("direct", "the origin itself"),
  twoNginx({ name: "nginx2", about: "answers buffered as by default", directives: "" }),
  twoNginx({
    name: "nginx2-memory",
    about:
      "answers never spooled to a file (proxy_max_temp_file_size 0), which by default happens to those larger than the buffers when the next hop is slower",
    directives: "proxy_max_temp_file_size 0;",
  }),
  underpass,
  direct("direct-again", "the origin itself once more: its distance from `direct` is the noise of this run"),
];
