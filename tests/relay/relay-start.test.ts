import { describe, expect, test } from "bun:test";
import { type RunningRelay, startRelay } from "../../relay/relay.ts";
import { MemoryNames } from "../../relay/stores/memory-names.ts";
import { UnderpassError } from "../../shared/errors.ts";
import { VirtualClock } from "../agent/virtual-clock.ts";

const listenPort = 8_787;
const tlsPort = 8_443;
const tunnelPort = 7_003;

/** A relay whose predecessor had a tcp tunnel, on a machine of which another program may have a port. */
class SetUp {
  readonly clock = new VirtualClock();
  /** In the order of opening. */
  readonly open: number[] = [];
  taken: number | undefined;

  async start(): Promise<RunningRelay> {
    const names = new MemoryNames();
    names.put("blue", {
      ...{ owner: "me", kind: "tcp", port: tunnelPort, place: "elsewhere", leftAtMs: 0, bye: false },
      lapsesAtMs: 3_600_000,
    });
    return await startRelay({
      ...{ clock: this.clock, names, nameTtlMs: 3_600_000, domains: ["localhost"], routing: "both" },
      listen: { host: "127.0.0.1", port: listenPort },
      tlsListen: { host: "127.0.0.1", port: tlsPort },
      tcpPorts: { low: 7_000, high: 7_004 },
      secret: new Uint8Array(32),
      random: (bytes) => bytes,
      resolve: async () => [],
      dial: () => () => {},
      openDatagrams: async () => {
        throw new UnderpassError("port-in-use");
      },
      accept: async ({ host, port }) => {
        if (port === this.taken) throw new UnderpassError("port-in-use");
        this.open.push(port);
        return { host, port, close: () => void this.open.splice(this.open.indexOf(port), 1) };
      },
    });
  }
}

describe("a relay that starts", () => {
  test("lets agents in last: what they come for is there by then", async () => {
    const setUp = new SetUp();
    const relay = await setUp.start();
    expect(setUp.open).toEqual([tlsPort, tunnelPort, listenPort]);
    await relay.stop(0);
    expect(setUp.open).toEqual([]);
  });

  test("and can't, for a port that is taken, leaves nothing open and nothing running", async () => {
    for (const taken of [listenPort, tlsPort]) {
      const setUp = new SetUp();
      setUp.taken = taken;
      const failed = await setUp.start().then(
        () => "started",
        (error: unknown) => (error instanceof UnderpassError ? error.code : "other"),
      );
      expect([failed, setUp.open, setUp.clock.timers]).toEqual(["port-in-use", [], 0]);
    }
  });
});
