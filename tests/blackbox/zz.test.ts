import { test } from "bun:test";
import { RawOrigin } from "./raw/origin.ts";
import { startRelay, type Relay } from "./programs/relay.ts";
import { startAgent } from "./programs/tunnel.ts";
import { visit } from "./raw/visitor.ts";
test("x", async () => {
  const origin = await RawOrigin.listen();
  const relay = await startRelay({});
  const token = await relay.token();
  for (let i = 0; i < 10; i++) {
    const b = await startAgent(relay, { origin: origin.port, name: "blue" + i, token });
    b.signal("SIGINT");
    await b.exit();
    const t = performance.now();
    const r = await visit({ port: relay.port, host: relay.hostFor("blue" + i) });
    console.log("after", r.status, Math.round(performance.now() - t));
  }
  await relay.kill(); await origin.close();
}, 200000);
