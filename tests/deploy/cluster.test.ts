import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseRelayCommand } from "../../relay/command-line.ts";
import type { RelayOptions } from "../../relay/options.ts";
import { agentProgram } from "../blackbox/programs/agent.ts";
import type { Program } from "../blackbox/programs/program.ts";
import { projectRoot } from "../blackbox/programs/relay.ts";
import { answerOk, RawOrigin } from "../blackbox/raw/origin.ts";
import { type Target, visit } from "../blackbox/raw/visitor.ts";
import { natsServerPath } from "../cluster/nats-server.ts";
import { networksOf, readCompose, relaysOf } from "./cluster/compose.ts";
import { ComposedCluster } from "./cluster/composed-cluster.ts";
import { caddy, frontDomain } from "./proxies/front-proxy.ts";

const testLimitMs = 60_000;
const env = {
  UNDERPASS_SECRET: "a secret of at least 32 bytes, or more",
  NATS_PASSWORD: "12e5k-of-digits-first",
};
const deployed = (file: string): Promise<string> =>
  readFile(join(projectRoot, "deploy/cluster", file), "utf8");

function serve(environment: Readonly<Record<string, string>>): RelayOptions {
  const parsed = parseRelayCommand([], environment, "");
  if (parsed.command !== "serve") throw new Error(parsed.command);
  return parsed.options;
}

describe("deploy/cluster/compose.yaml", () => {
  test("has three relays of one cluster, each reached at its own name", async () => {
    const relays = relaysOf(await readCompose(env));
    expect(relays.map(([name]) => name)).toEqual(["relay-1", "relay-2", "relay-3"]);
    for (const [name, { environment, stop_grace_period: stop }] of relays) {
      const options = serve(environment);
      expect(options.cluster).toEqual({
        urls: [`nats://relay:${env.NATS_PASSWORD}@nats:4222`],
        name: "underpass",
        advertise: `http://${name}:8787`,
      });
      expect(options.secretText).toBe(env.UNDERPASS_SECRET);
      expect(Number.parseInt(stop ?? "", 10) * 1_000).toBeGreaterThan(options.graceMs);
    }
  });

  test("believes its proxy, and nobody else, who a visitor is", async () => {
    const { services } = await readCompose(env);
    const place = services["proxy"]?.networks;
    if (place === undefined || Array.isArray(place)) throw new Error("no address");
    for (const [, { environment }] of relaysOf({ services, networks: {} }))
      expect(environment["UNDERPASS_TRUST_PROXY"]).toBe(place["front"]?.ipv4_address ?? "");
  });

  test("lets nobody but the relays reach NATS", async () => {
    const composed = await readCompose(env);
    expect(composed.networks["bus"]?.internal).toBe(true);
    expect(composed.services["nats"]?.networks).toEqual(["bus"]);
    const there = Object.entries(composed.services).filter(([, service]) =>
      networksOf(service).includes("bus"),
    );
    expect(there.map(([name]) => name)).toEqual(["relay-1", "relay-2", "relay-3", "nats"]);
  });

  test("does not start without its secrets", async () => {
    await expect(readCompose({ UNDERPASS_SECRET: env.UNDERPASS_SECRET })).rejects.toThrow("NATS_PASSWORD");
    await expect(readCompose({ NATS_PASSWORD: env.NATS_PASSWORD })).rejects.toThrow("UNDERPASS_SECRET");
  });

  test("mounts files that stand beside it", async () => {
    const { services } = await readCompose(env);
    const mounted = Object.values(services).flatMap(({ volumes }) => volumes);
    for (const file of ["nats.conf", "Caddyfile"]) {
      expect(mounted.filter((volume) => volume.startsWith(`./${file}:`))).toHaveLength(1);
      expect(await deployed(file)).not.toBe("");
    }
  });
});

test("deploy/cluster/relay.env is what one relay of several is told on a host", async () => {
  const lines = (await deployed("relay.env"))
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"));
  const settings = Object.fromEntries(lines.map((line) => line.split(/=(.*)/s).slice(0, 2)));
  const { cluster, listen, trustedProxies, tcpPorts } = serve({
    ...settings,
    UNDERPASS_SECRET_FILE: "secret",
  });
  expect(cluster?.urls).toEqual(["tls://relay:PASSWORD@10.0.0.21", "tls://10.0.0.22", "tls://10.0.0.23"]);
  expect(cluster?.advertise).toBe(`http://${listen.host}:${listen.port}`);
  expect([trustedProxies?.length, tcpPorts?.low]).toEqual([1, 20_000]);
});

const missing =
  caddy.binary === undefined ? "caddy" : natsServerPath === undefined ? "nats-server" : undefined;
const title = `what compose.yaml starts${missing === undefined ? "" : ` (skipped: ${missing} is not installed)`}`;

describe.skipIf(missing !== undefined)(title, () => {
  let cluster: ComposedCluster;
  let origin: RawOrigin;
  let through: Target;
  const agents: Program[] = [];

  const startAgent = async (name: string, ...args: readonly string[]): Promise<Program> => {
    const url = `https://127.0.0.1:${cluster.https}`;
    const agent = agentProgram(
      ["http", String(origin.port), "--relay", url, "--name", name, "--json", ...args],
      { env: { UNDERPASS_TOKEN: await cluster.token(), NODE_EXTRA_CA_CERTS: cluster.front.caFile } },
    );
    agents.push(agent);
    await agent.event("ready");
    return agent;
  };

  beforeAll(async () => {
    origin = await RawOrigin.listen();
    cluster = await ComposedCluster.start(await readCompose(env), env);
    through = { port: cluster.https, host: `blue.${frontDomain}:${cluster.https}`, ca: cluster.front.ca };
    await startAgent("blue");
  }, testLimitMs);
  afterEach(() => {
    origin.script = answerOk;
  });
  afterAll(async () => {
    for (const agent of agents) await agent.kill();
    await cluster?.close();
    await origin?.close();
  });

  test(
    "a visitor reaches a tunnel, whichever relay he meets",
    async () => {
      for (let times = 0; times < 20; times++) expect((await visit(through)).text).toBe("ok");
    },
    testLimitMs,
  );

  test(
    "a link without WebSocket keeps to one relay",
    async () => {
      const agent = await startAgent("green", "--transport", "sse");
      const host = through.host.replace("blue", "green");
      origin.script = async ({ body, send }) => {
        const { length } = await body.text();
        await send(`HTTP/1.1 200 OK\r\nContent-Length: ${String(length).length}\r\n\r\n${length}`);
      };
      for (let times = 0; times < 20; times++)
        expect((await visit({ ...through, host }, `/${times}`)).text).toBe("0");
      expect(agent.events.filter(({ state }) => state === "lost")).toEqual([]);
      await agent.stop();
    },
    testLimitMs,
  );

  test(
    "a relay that is killed is missed by nobody who comes later",
    async () => {
      await cluster.kill(0);
      for (let times = 0; times < 20; times++) expect((await visit(through)).text).toBe("ok");
      await cluster.run(0);
    },
    testLimitMs,
  );

  test(
    "a restart of one relay after another costs no request, and each is seen once",
    async () => {
      await cluster.acquainted();
      const before = origin.exchanges.length;
      let isOver = false;
      const sent: string[] = [];
      const failed: string[] = [];
      const visitor = async (number: number): Promise<void> => {
        for (let count = 0; !isOver; count++) {
          const path = `/${number}/${count}`;
          sent.push(path);
          const { status, text } = await visit(through, path).catch((error: unknown) => ({
            status: 0,
            text: String(error),
          }));
          if (status !== 200) failed.push(`${path}: ${status} ${text}`);
        }
      };
      const visitors = Array.from({ length: 8 }, (_, number) => visitor(number));
      for (const relay of [0, 1, 2]) {
        await cluster.stop(relay);
        await cluster.run(relay);
        await cluster.acquainted();
      }
      isOver = true;
      await Promise.all(visitors);
      const seen = origin.exchanges.slice(before).map(({ head }) => head.target);
      expect(failed).toEqual([]);
      expect(seen.toSorted()).toEqual(sent.toSorted());
    },
    testLimitMs,
  );
});
