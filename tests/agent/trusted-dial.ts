// Dials 127.0.0.1:argv[3] through the proxy at argv[2], for a name that its certificate has and one that it has not.
import { dialThroughProxy } from "../../agent/dial/dial-through-proxy.ts";
import { dial, startTls } from "../../shared/runtimes/bun-sockets.ts";
import { systemClock } from "../../shared/runtimes/system-clock.ts";

const [, , proxyPort, port] = process.argv;
const through = dialThroughProxy(
  { dial, startTls, clock: systemClock },
  { HTTPS_PROXY: `http://127.0.0.1:${proxyPort}` },
);
for (const serverName of ["localhost", "relay.example"]) {
  const target = { host: "relay.example", port: Number(port), tls: { serverName, insecure: false } };
  const line = await new Promise<string>((resolve) =>
    through(target, 10_000, {
      opened: () => resolve("opened"),
      failed: (reason, detail) => resolve(`${reason}: ${detail}`),
    }),
  );
  console.log(line);
}
process.exit(0);
