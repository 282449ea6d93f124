import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { secretFromText } from "../../../relay/auth/secret.ts";
import { Tokens } from "../../../relay/auth/tokens.ts";
import type { ClusterFigures } from "../../../relay/cluster/cluster-figures.ts";
import { freePort } from "../../blackbox/programs/free-port.ts";
import { Program } from "../../blackbox/programs/program.ts";
import { projectRoot, relayProgram } from "../../blackbox/programs/relay.ts";
import { within } from "../../blackbox/programs/within.ts";
import { natsServerPath } from "../../cluster/nats-server.ts";
import { clusterCaddy, FrontProxy, frontDomain } from "../proxies/front-proxy.ts";
import { type Compose, relaysOf } from "./compose.ts";

const limitMs = 20_000;
const lookEveryMs = 10;

interface ComposedRelay {
  readonly env: Record<string, string>;
  readonly port: number;
  program?: Program;
}

/** What deploy/cluster/compose.yaml starts, as programs of this machine: only addresses, ports and folders are others. */
export class ComposedCluster {
  readonly #tokens: Tokens;
  readonly #relays: ComposedRelay[] = [];
  #nats: Program | undefined;
  #front: FrontProxy | undefined;

  private constructor(
    private readonly folder: string,
    readonly https: number,
    secret: string,
  ) {
    this.#tokens = new Tokens(secretFromText(secret));
  }

  /** Of the relays' key. */
  token(grant: { readonly admin?: true } = {}): Promise<string> {
    return this.#tokens.mint({ subject: "tester", ttlMs: 600_000, ...grant }, Date.now());
  }

  static async start(compose: Compose, env: Readonly<Record<string, string>>): Promise<ComposedCluster> {
    const folder = await mkdtemp(join(tmpdir(), "underpass-composed-"));
    const cluster = new ComposedCluster(folder, await freePort(), env["UNDERPASS_SECRET"] ?? "");
    const natsPort = await freePort();
    await cluster.#startNats(natsPort, compose.services["nats"]?.environment ?? {});
    for (const [name, { environment }] of relaysOf(compose)) {
      const port = await freePort();
      const changes: [string, string][] = [
        ["@nats:4222", `@127.0.0.1:${natsPort}`],
        ["https://tunnels.example", `https://${frontDomain}:${cluster.https}`],
        ["tunnels.example", frontDomain],
        ["172.30.57.2", "127.0.0.1"],
        [`http://${name}:8787`, `http://127.0.0.1:${port}`],
      ];
      const values = Object.entries(environment).map(([key, value]) => [
        key,
        changes.reduce((text, [from, to]) => text.replace(from, to), value),
      ]);
      const data = join(folder, name);
      await mkdir(data);
      cluster.#relays.push({
        port,
        env: {
          ...Object.fromEntries(values),
          ...{ UNDERPASS_LISTEN: `127.0.0.1:${port}`, UNDERPASS_DATA: data, UNDERPASS_JSON: "1" },
        },
      });
    }
    for (const index of cluster.#relays.keys()) await cluster.run(index);
    const places = cluster.#relays.map(({ port }) => `127.0.0.1:${port}`).join(" ");
    cluster.#front = await FrontProxy.start(clusterCaddy, places, cluster.https);
    await cluster.acquainted();
    return cluster;
  }

  get front(): FrontProxy {
    if (this.#front === undefined) throw new Error("not started");
    return this.#front;
  }

  /** Starts the relay with this index; once it listens. */
  async run(index: number): Promise<void> {
    const relay = this.#relay(index);
    relay.program = relayProgram([], { env: relay.env });
    await relay.program.event("listening");
  }

  async kill(index: number): Promise<void> {
    await this.#relay(index).program?.kill();
  }

  /** SIGTERM, and what is open may finish. */
  async stop(index: number): Promise<void> {
    await this.#relay(index).program?.stop();
  }

  /** All relays know each other, and have links to each other: nothing tells it but they themselves. */
  async acquainted(): Promise<void> {
    const token = await this.token({ admin: true });
    let last = "";
    const knows = async (port: number): Promise<void> => {
      for (;;) {
        const answer = await fetch(`http://127.0.0.1:${port}/_underpass/api/cluster`, {
          headers: { authorization: `Bearer ${token}` },
        });
        last = await answer.text();
        if (answer.status !== 200) throw new Error(last);
        const { nodes } = JSON.parse(last) as ClusterFigures;
        const linked = nodes.filter(({ alive, link }) => alive && link === "direct");
        if (linked.length === this.#relays.length - 1) return;
        await Bun.sleep(lookEveryMs);
      }
    };
    const all = Promise.all(this.#relays.map(({ port }) => knows(port)));
    await within(all, limitMs, () => `the relays to know each other: ${last}`);
  }

  async close(): Promise<void> {
    await this.#front?.close();
    for (const { program } of this.#relays) await program?.kill();
    await this.#nats?.kill();
    await rm(this.folder, { recursive: true, force: true });
  }

  async #startNats(port: number, env: Readonly<Record<string, string>>): Promise<void> {
    if (natsServerPath === undefined) throw new Error("nats-server is not installed");
    const text = await readFile(join(projectRoot, "deploy/cluster/nats.conf"), "utf8");
    const changed = text
      .replace("port: 4222", `host: 127.0.0.1\nport: ${port}`)
      .replace("store_dir: /data", `store_dir: "${join(this.folder, "nats")}"`);
    const path = join(this.folder, "nats.conf");
    await writeFile(path, changed);
    this.#nats = new Program([natsServerPath, "--config", path], { env });
    await this.#nats.output((_, stderr) => stderr.includes("Server is ready"));
  }

  #relay(index: number): ComposedRelay {
    const relay = this.#relays[index];
    if (relay === undefined) throw new Error(`there is no relay ${index}`);
    return relay;
  }
}
