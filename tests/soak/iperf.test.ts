import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { absent } from "../blackbox/programs/installed.ts";
import type { Program } from "../blackbox/programs/program.ts";
import { type Relay, relayRuntime } from "../blackbox/programs/relay.ts";
import { startAgentOf, startPortRelay } from "../blackbox/programs/tcp-tunnel.ts";
import { Iperf3 } from "../blackbox/real/iperf3.ts";
import { Figures } from "./figures.ts";
import { compare } from "./rounds.ts";

const testLimitMs = 300_000;
const seconds = 3;
const missing = absent("iperf3");
const figures = new Figures();

describe.skipIf(relayRuntime === "workerd" || missing !== "")(
  `iperf3 through a tcp tunnel${missing && ` (absent: ${missing})`}`,
  () => {
    let iperf: Iperf3;
    let relay: Relay;
    let agent: Program;
    let port: number;

    beforeAll(async () => {
      iperf = await Iperf3.start();
      relay = await startPortRelay(["--quiet"]);
      const args = ["tcp", String(iperf.port), "--quiet"];
      const started = await startAgentOf(relay, await relay.token(), args);
      agent = started.program;
      port = Number(started.url.port);
    }, testLimitMs);
    afterAll(async () => {
      figures.print();
      await agent?.kill();
      await relay?.kill();
      await iperf?.stop();
    });

    test.each([
      ["up", []],
      ["down", ["-R"]],
      ["up -P 8", ["-P", "8"]],
      ["down -P 8", ["-P", "8", "-R"]],
    ])(
      "%s, beside iperf3 without it",
      async (name, args) => {
        const visit = async (to: number) => (await iperf.visit(to, { seconds, args })) / 1e6;
        await compare(figures, `iperf3 ${name}`, "MB/s", {
          direct: () => visit(iperf.port),
          tunnel: () => visit(port),
        });
        expect(agent.events.filter(({ event, state }) => event === "error" || state === "lost")).toEqual([]);
      },
      testLimitMs,
    );
  },
);
