/**
 * `npm run quickstart [-- SWITCHES]`: the demo page, and an agent with its embedded relay in front of it. Switches are
 * the agent's own (`npm run quickstart -- --json --listen 127.0.0.1:0`). One SIGINT ends both.
 */
import { startDemo } from "../examples/demo/demo.ts";

const demo = startDemo({ port: 0 });
process.stderr.write(
  `The demo page listens at ${demo.url}. Open it through the tunnel, at the URL below; Ctrl-C ends both.\n`,
);

const agent = Bun.spawn(
  [process.execPath, "agent.ts", "--port", String(demo.port), ...process.argv.slice(2)],
  {
    cwd: new URL("..", import.meta.url).pathname,
    stdio: ["inherit", "inherit", "inherit"],
  },
);
// Ctrl-C in a terminal reaches the agent by itself; a second one would end it without a goodbye.
process.on("SIGINT", () => process.stdin.isTTY || agent.kill("SIGINT"));
process.on("SIGTERM", () => agent.kill("SIGTERM"));

const exitCode = await agent.exited;
await demo.stop();
process.exit(exitCode);
