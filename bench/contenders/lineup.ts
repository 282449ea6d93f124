import { bore } from "./bore.ts";
import { chisel } from "./chisel.ts";
import type { Contender } from "./contender.ts";
import { direct } from "./direct.ts";
import { gost } from "./gost.ts";
import { piko } from "./piko.ts";
import { rathole } from "./rathole.ts";
import { ssh } from "./ssh.ts";
import { twoNginx } from "./two-nginx.ts";
import { underpass } from "./underpass.ts";

/** Who does the same job; `--peers` chooses among them. */
export const peers: readonly Contender[] = [
  twoNginx({ name: "nginx2", about: "answers buffered as by default", directives: "" }),
  twoNginx({
    name: "nginx2-memory",
    about:
      "answers never spooled to a file (proxy_max_temp_file_size 0), which by default happens to those larger than the buffers when the next hop is slower",
    directives: "proxy_max_temp_file_size 0;",
  }),
  piko,
  bore,
  rathole,
  chisel,
  gost,
  ssh,
];

/** Who takes part, in the order of a round. The second `direct` is the noise floor. */
export const lineup = (chosen: readonly Contender[]): readonly Contender[] => [
  direct("direct", "the origin itself"),
  ...chosen,
  underpass,
  direct("direct-again", "the origin itself once more: its distance from `direct` is the noise of this run"),
];
