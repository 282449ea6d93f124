/** A rolling restart in this network, for `runInside`: `{"migrate":0|1,"restarts":n,"requests":n,"visitors":n}`. */
import { endWithParent } from "../inside.ts";
import { runCommand } from "../namespace.ts";
import { type RollingOptions, rollingRestart } from "../rolling/rolling-restart.ts";

endWithParent();
const { migrate, ...options } = JSON.parse(process.argv[2] ?? "") as RollingOptions & { migrate: 0 | 1 };
// What has arrived at a listener that closes goes to its successor, where the kernel is told so (Linux 5.14 and later).
await runCommand("sysctl", "-w", `net.ipv4.tcp_migrate_req=${migrate}`);
console.log(JSON.stringify(await rollingRestart(options)));
process.exit(0);
