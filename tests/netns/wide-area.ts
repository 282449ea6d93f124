import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { projectRoot } from "../blackbox/programs/relay.ts";
import { insideRefusal } from "./inside.ts";
import { Namespace, runCommand } from "./namespace.ts";
import { switchOffOffloads } from "./offloads.ts";

export interface WideAreaOptions {
  /** One way. */
  readonly delayMs: number;
  /** Of each hundred packets, each way. */
  readonly lossPercent: number;
  /** TCP's, on both hosts; absent: the system's own. One that is not free to use (tcp_allowed_congestion_control) fails. */
  readonly congestionControl?: string;
}

/** Packets under way, each way: enough for what TCP may have in flight at any rate that is measured here. */
const queuePackets = 20_000;
const emulatorSource =
  process.env["UNDERPASS_LINK_EMULATOR"] ?? join(projectRoot, "../shared/tools/link-emulator.c");
const netemTrial =
  "ip link add trial type veth peer name trial2 && tc qdisc add dev trial root netem delay 1ms loss 1%";
const hasNetem =
  insideRefusal === undefined &&
  Bun.spawnSync(["unshare", "--map-root-user", "--net", "sh", "-c", netemTrial], { stderr: "ignore" })
    .exitCode === 0;

/** Why there can be no such link here; undefined: there can. */
export const wideAreaRefusal: string | undefined = findRefusal();

/** Two hosts with a long and lossy link between them: the network that this script runs in, and `far`. */
export class WideArea {
  static readonly nearAddress = "10.9.0.1";
  readonly #cleanup: AsyncDisposableStack;
  #farAddress = "";

  private constructor(
    readonly far: Namespace,
    readonly means: "netem" | "link-emulator",
    cleanup: AsyncDisposableStack,
  ) {
    this.#cleanup = cleanup;
  }

  /** For a script that `runInside` has started. */
  static async build(options: WideAreaOptions): Promise<WideArea> {
    await using cleanup = new AsyncDisposableStack();
    const far = await host(cleanup);
    if (options.congestionControl !== undefined) {
      const setting = ["sysctl", "-w", `net.ipv4.tcp_congestion_control=${options.congestionControl}`];
      await runCommand(...setting);
      await far.run(...setting);
    }
    if (hasNetem) await joinByNetem(far, options);
    else await joinByEmulator(far, options, cleanup);
    await runCommand("ip", "addr", "add", `${WideArea.nearAddress}/24`, "dev", "near");
    const area = new WideArea(far, hasNetem ? "netem" : "link-emulator", cleanup.move());
    await area.moveFar("10.9.0.2");
    return area;
  }

  get farAddress(): string {
    return this.#farAddress;
  }

  /** The far host has another address from now on, and the one before no more: as when a laptop changes networks. */
  async moveFar(address: string): Promise<void> {
    const { far } = this;
    if (this.#farAddress !== "") await far.run("ip", "addr", "del", `${this.#farAddress}/24`, "dev", "far");
    this.#farAddress = address;
    await far.run("ip", "addr", "add", `${address}/24`, "dev", "far");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#cleanup.disposeAsync();
  }
}

async function host(cleanup: AsyncDisposableStack): Promise<Namespace> {
  const namespace = await Namespace.create();
  cleanup.defer(() => namespace.close());
  return namespace;
}

async function joinByNetem(far: Namespace, { delayMs, lossPercent }: WideAreaOptions): Promise<void> {
  await runCommand(..."ip link add near type veth peer name far netns".split(" "), String(far.pid));
  await raise("near");
  await raise("far", far);
  const discipline = `netem delay ${delayMs}ms loss ${lossPercent}% limit ${queuePackets}`.split(" ");
  await runCommand("tc", "qdisc", "add", "dev", "near", "root", ...discipline);
  await far.run("tc", "qdisc", "add", "dev", "far", "root", ...discipline);
}

/** Each host's wire ends on a third one, the road, where the emulator carries frames from one to the other. */
async function joinByEmulator(
  far: Namespace,
  { delayMs, lossPercent }: WideAreaOptions,
  cleanup: AsyncDisposableStack,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "underpass-road-"));
  cleanup.defer(() => rm(folder, { recursive: true, force: true }));
  const emulator = join(folder, "link-emulator");
  await runCommand("gcc", "-O2", "-w", "-o", emulator, emulatorSource);
  const road = await host(cleanup);
  for (const [name, end] of [
    ["near", undefined],
    ["far", far],
  ] as const) {
    const middle = `mid-${name}`;
    await runCommand("ip", "link", "add", name, "type", "veth", "peer", "name", middle);
    await runCommand("ip", "link", "set", "dev", middle, "netns", String(road.pid));
    if (end !== undefined) await runCommand("ip", "link", "set", "dev", name, "netns", String(end.pid));
    await raise(name, end);
    await raise(middle, road);
  }
  const numbers = [delayMs, 0, lossPercent, 0, 0, 0, queuePackets].map(String);
  const running = Bun.spawn(road.command(emulator, "mid-near", "mid-far", ...numbers), {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "inherit",
  });
  process.once("exit", () => running.kill("SIGKILL"));
  cleanup.defer(async () => {
    running.kill("SIGTERM");
    await running.exited;
  });
}

async function raise(device: string, end?: Namespace): Promise<void> {
  const script = join(import.meta.dir, "offloads.ts");
  if (end === undefined) switchOffOffloads(device);
  else await end.run(process.execPath, script, device);
  const up = ["ip", "link", "set", "dev", device, "up"];
  await (end === undefined ? runCommand(...up) : end.run(...up));
}

function findRefusal(): string | undefined {
  if (insideRefusal !== undefined) return insideRefusal;
  if (!Bun.which("nsenter")) return "`nsenter` is not installed";
  if (hasNetem) return undefined;
  if (!existsSync(emulatorSource)) return "the kernel has no netem, and there is no emulator's source";
  return Bun.which("gcc") ? undefined : "the kernel has no netem, and the emulator needs gcc";
}
