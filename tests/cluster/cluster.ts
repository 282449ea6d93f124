import { test } from "bun:test";
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ClusterFigures } from "../../relay/cluster/cluster-figures.ts";
import { minterOf } from "../blackbox/programs/mint.ts";
import type { Program } from "../blackbox/programs/program.ts";
import { relayProgram, type TokenOptions } from "../blackbox/programs/relay.ts";
import { within } from "../blackbox/programs/within.ts";
import type { Target } from "../blackbox/raw/visitor.ts";
import { FaultProxy } from "../faults/fault-proxy.ts";
import { NatsServer, natsServerPath } from "./nats-server.ts";

/** A test that needs a nats-server: skipped where none is installed. */
export const clusterTest = test.skipIf(natsServerPath === undefined);

/** What a relay tells of its cluster at `/_underpass/api/cluster`. */
export type ClusterStatus = ClusterFigures;

export interface ClusterOptions {
  /** How many relays; default 3. */
  readonly relays?: number;
  /** `bus`: neighbours hear of each other over NATS alone. Default `direct`. */
  readonly neighbours?: "direct" | "bus";
  /** Of every relay. */
  readonly args?: readonly string[];
  /** Each relay reaches NATS by a proxy of its own, `registryWay`, which a test may cut. */
  readonly cuttable?: boolean;
}

const waitLimitMs = 20_000;
const lookEveryMs = 10;

/** One relay of a cluster: 127.0.0.1, 127.0.0.2, ... with the same port. */
export class ClusterRelay {
  program: Program | undefined;

  constructor(
    readonly address: string,
    readonly port: number,
    readonly registryWay: FaultProxy | undefined,
  ) {}

  get url(): string {
    return `http://${this.address}:${this.port}`;
  }

  get pid(): number {
    return this.running.pid;
  }

  get running(): Program {
    if (this.program === undefined) throw new Error(`${this.address} does not run`);
    return this.program;
  }

  async status(): Promise<ClusterStatus> {
    const answer = await fetch(`${this.url}/_underpass/api/cluster`, {
      // A socket that is kept would be one that a relay waits for when it ends.
      headers: { connection: "close" },
    });
    if (answer.status !== 200) throw new Error(`${answer.status}: ${await answer.text()}`);
    return (await answer.json()) as ClusterStatus;
  }

  /** Nothing tells what a relay has heard of but its own status. */
  async until(what: string, is: (status: ClusterStatus) => boolean): Promise<ClusterStatus> {
    let last: ClusterStatus | undefined;
    const look = async (): Promise<ClusterStatus> => {
      for (;;) {
        last = await this.status();
        if (is(last)) return last;
        await Bun.sleep(lookEveryMs);
      }
    };
    return within(look(), waitLimitMs, () => `${what} at ${this.address}: ${JSON.stringify(last)}`);
  }
}

/** A nats-server and relays beside it, each a process of its own. */
export class Cluster implements AsyncDisposable {
  readonly relays: ClusterRelay[] = [];
  readonly token: (wanted?: TokenOptions) => Promise<string>;

  private constructor(
    readonly nats: NatsServer,
    private readonly folder: string,
    private readonly options: ClusterOptions,
    secret: string,
  ) {
    this.token = minterOf(secret);
  }

  /** Once all relays know each other. */
  static async start(options: ClusterOptions = {}): Promise<Cluster> {
    const folder = await mkdtemp(join(tmpdir(), "underpass-cluster-"));
    const secret = randomBytes(32).toString("base64url");
    await writeFile(join(folder, "secret"), secret, { mode: 0o600 });
    const cluster = new Cluster(await NatsServer.start(), folder, options, secret);
    try {
      for (let index = 0; index < (options.relays ?? 3); index++) await cluster.#add(index);
      await cluster.acquainted();
      return cluster;
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
  }

  relay(index: number): ClusterRelay {
    const relay = this.relays[index];
    if (relay === undefined) throw new Error(`there is no relay ${index}`);
    return relay;
  }

  get running(): ClusterRelay[] {
    return this.relays.filter(({ program }) => program !== undefined);
  }

  /** Where a visitor of this tunnel goes who comes to the relay with this index. */
  target(name: string, index: number): Target {
    const { address, port } = this.relay(index);
    return { port, address, host: `${name}.localhost:${port}` };
  }

  /** Starts one again that has ended, on its address; once it listens. */
  async begin(index: number): Promise<ClusterRelay> {
    const relay = this.relay(index);
    relay.program = await this.#run(relay.address, relay.port, relay.registryWay);
    return relay;
  }

  /** SIGKILL; resolves when it is dead. */
  async kill(index: number): Promise<void> {
    const relay = this.relay(index);
    const { running } = relay;
    relay.program = undefined;
    await running.kill();
  }

  /** SIGTERM; resolves when it has ended, and fails unless it did so in order. */
  async stop(index: number): Promise<void> {
    const relay = this.relay(index);
    const { running } = relay;
    relay.program = undefined;
    const code = await running.stop();
    if (code !== 0) throw new Error(`exit ${code}: ${running.describe()}`);
  }

  /** Those that run know each other, and nobody else. */
  async acquainted(): Promise<void> {
    const { running } = this;
    const others = running.length - 1;
    const alive = ({ nodes }: ClusterStatus): number => nodes.filter((node) => node.alive).length;
    await Promise.all(
      running.map((relay) => relay.until(`${others} others`, (status) => alive(status) === others)),
    );
  }

  /** So many names are known everywhere, with agents. */
  async known(names: number): Promise<void> {
    await Promise.all(
      this.running.map((relay) => relay.until(`${names} names`, (status) => status.names === names)),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.running.map(({ program }) => program?.kill()));
    await Promise.all(this.relays.map(({ registryWay }) => registryWay?.close()));
    await this.nats.close();
    await rm(this.folder, { recursive: true, force: true });
  }

  async #add(index: number): Promise<void> {
    const address = `127.0.0.${index + 1}`;
    const registryWay = this.options.cuttable ? await FaultProxy.listen(this.nats.port) : undefined;
    const program = await this.#run(address, this.relays[0]?.port ?? 0, registryWay);
    const { port } = new URL(String(program.events[0]?.["url"]));
    const relay = new ClusterRelay(address, Number(port), registryWay);
    relay.program = program;
    this.relays.push(relay);
  }

  async #run(address: string, port: number, registryWay: FaultProxy | undefined): Promise<Program> {
    const { neighbours = "direct", args = [] } = this.options;
    const data = join(this.folder, address);
    await mkdir(data, { recursive: true });
    const way = registryWay === undefined ? this.nats.url : `nats://127.0.0.1:${registryWay.port}`;
    const given = [
      ...["--json", "--quiet", "--listen", `${address}:${port}`, "--data", data],
      ...["--secret-file", join(this.folder, "secret"), "--cluster", way, "--cluster-name", "tested"],
      ...(neighbours === "direct" ? ["--advertise", `http://${address}:${port}`] : []),
      ...args,
    ];
    const program = relayProgram(given, { net: ["127.0.0.2", "127.0.0.3", "127.0.0.4"] });
    try {
      await program.event("listening");
      return program;
    } catch (error) {
      await program.kill();
      throw error;
    }
  }
}
