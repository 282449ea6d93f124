import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { FaultProxy } from "../faults/fault-proxy.ts";
import { type LinkName, links, type Way, ways } from "./matrix/cells.ts";
import { type EchoOrigins, startEchoOrigins } from "./matrix/echo-origins.ts";
import { record } from "./matrix/record.ts";
import { visitHttp, visitSocks, visitTcp, visitTls, visitUdp } from "./matrix/visits.ts";
import { agentProgram } from "./programs/agent.ts";
import { freePorts } from "./programs/free-port.ts";
import type { Program } from "./programs/program.ts";
import { type Relay, relayRuntime, startRelay } from "./programs/relay.ts";

const testLimitMs = 60_000;
/** What a relay in workerd has no public port for. */
const refusedThere: readonly Way[] = ["tcp", "tls", "udp"];

/** Every kind over every link on this runtime, each with all links cut in the middle. docs/kinds.md is made of it. */
describe(`on ${relayRuntime}`, () => {
  let origins: EchoOrigins;
  let relay: Relay;
  let proxy: FaultProxy;
  let token = "";
  const programs: Program[] = [];

  beforeAll(async () => {
    origins = await startEchoOrigins();
    const low = await freePorts(20);
    const ports = `${low}-${low + 19}`;
    const args = ["--tcp-ports", ports, "--udp-ports", ports, "--tls-listen", "127.0.0.1:0"];
    relay = await startRelay(relayRuntime === "workerd" ? {} : { args });
    proxy = await FaultProxy.listen(relay.url);
    const egress = ["127.0.0.1/32:*"];
    token = await relay.token({ connect: links.map((link) => `private-${link}`), egress });
  }, testLimitMs);

  afterAll(async () => {
    for (const program of programs) await program.kill();
    await relay?.kill();
    await proxy?.close();
    await origins?.close();
  });

  async function agent(link: LinkName, ...args: readonly string[]): Promise<Program> {
    const program = agentProgram([...args, "--relay", proxy.url, "--transport", link, "--json"], {
      env: { UNDERPASS_TOKEN: token },
    });
    programs.push(program);
    return program;
  }

  /** The URL of what has come up. */
  async function up(link: LinkName, ...args: readonly string[]): Promise<URL> {
    const program = await agent(link, ...args);
    return new URL(String((await program.event("ready"))["url"]));
  }

  /** All links at once. */
  let cuts = 0;
  const cut = (): void => {
    cuts += proxy.fault("reset").length;
  };

  const visits: Record<Way, (link: LinkName) => Promise<void>> = {
    async http(link) {
      const name = `http-${link}`;
      await up(link, "http", String(origins.http), "--name", name);
      await visitHttp(`http://127.0.0.1:${relay.port}`, relay.hostFor(name), cut);
    },
    async tcp(link) {
      await visitTcp(Number((await up(link, "tcp", String(origins.tcp))).port), cut);
    },
    async tls(link) {
      const url = await up(link, "tls", String(origins.tls), "--name", `tls-${link}`);
      await visitTls(Number(url.port), url.hostname, cut);
    },
    async udp(link) {
      await visitUdp(Number((await up(link, "udp", String(origins.udp))).port), cut);
    },
    async private(link) {
      await up(link, "private", String(origins.tcp), "--name", `private-${link}`);
      const url = await up(link, "connect", `private-${link}`, "--listen", "127.0.0.1:0");
      await visitTcp(Number(url.port), cut);
    },
    async via(link) {
      const allowed = ["--name", `via-${link}`, "--allow-egress", "127.0.0.1/32:*"];
      await up(link, "http", String(origins.http), ...allowed);
      const url = await up(link, "proxy", "--listen", "127.0.0.1:0", "--via", `via-${link}`);
      await visitSocks(Number(url.port), origins.tcp, cut);
    },
    async egress(link) {
      const url = await up(link, "proxy", "--listen", "127.0.0.1:0");
      await visitSocks(Number(url.port), origins.tcp, cut);
    },
  };

  /** The same commands, where the relay has not what they need. */
  const refused: Partial<Record<Way, readonly string[]>> = {
    tcp: ["tcp", "1"],
    tls: ["tls", "1"],
    udp: ["udp", "1"],
  };

  for (const way of ways) {
    for (const link of links) {
      const command = refused[way];
      if (relayRuntime === "workerd" && refusedThere.includes(way) && command !== undefined) {
        test(
          `${way} over ${link} is refused for what it is`,
          async () => {
            const program = await agent(link, ...command);
            expect(await program.exit()).toBe(4);
            const code = "kind-unavailable";
            expect(program.events.at(-1)).toMatchObject({ event: "error", code, fatal: true });
            record({ way, link, runtime: relayRuntime, result: code });
          },
          testLimitMs,
        );
        continue;
      }
      test(
        `${way} over ${link} carries every byte both ways while all links are cut`,
        async () => {
          cuts = 0;
          await visits[way](link);
          expect(cuts).toBeGreaterThan(0);
          record({ way, link, runtime: relayRuntime, result: "carried" });
        },
        testLimitMs,
      );
    }
  }
});
