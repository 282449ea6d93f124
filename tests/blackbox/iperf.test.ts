import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { absent } from "./programs/installed.ts";
import { type Relay, relayRuntime } from "./programs/relay.ts";
import { startAgentOf, startPortRelay } from "./programs/tcp-tunnel.ts";
import { Iperf3 } from "./real/iperf3.ts";

const testLimitMs = 60_000;
const missing = absent("iperf3");

// How fast it is beside iperf3 without the tunnel is told by tests/soak/iperf.test.ts.
describe.skipIf(relayRuntime === "workerd" || missing !== "")(
  `iperf3 through a tcp tunnel${missing && ` (absent: ${missing})`}`,
  () => {
    let iperf: Iperf3;
    let relay: Relay;
    let port: number;
    let stop: () => Promise<void>;

    beforeAll(async () => {
      iperf = await Iperf3.start();
      relay = await startPortRelay();
      const { program, url } = await startAgentOf(relay, await relay.token(), ["tcp", String(iperf.port)]);
      port = Number(url.port);
      stop = () => program.kill();
    }, testLimitMs);
    afterAll(async () => {
      await stop?.();
      await relay?.kill();
      await iperf?.stop();
    });

    test.each([
      ["up", []],
      ["down", ["-R"]],
      ["up with eight streams", ["-P", "8"]],
      ["both ways at once", ["--bidir"]],
    ])(
      "runs %s without an error",
      async (_, args) => {
        expect(await iperf.visit(port, { seconds: 1, args })).toBeGreaterThan(0);
      },
      testLimitMs,
    );
  },
);
