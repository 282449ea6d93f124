/** One download through the tunnel beside one directly, in turn, for `runInside`: options are `SingleDownloadOptions`. */
import { within } from "../../blackbox/programs/within.ts";
import { Body } from "../../blackbox/raw/body.ts";
import { Head } from "../../blackbox/raw/head.ts";
import { Wire } from "../../blackbox/raw/wire.ts";
import { startDistantTunnel } from "../distant-tunnel.ts";
import { endWithParent } from "../inside.ts";
import { Pattern } from "../pattern.ts";
import type { WideAreaOptions } from "../wide-area.ts";

export interface SingleDownloadOptions extends WideAreaOptions {
  readonly bytes: number;
  readonly rounds: number;
}

export interface SingleDownloadResult {
  readonly means: string;
  readonly congestionControl: string;
  readonly wrong: number;
  /** Bytes a second of each round, in order. */
  readonly direct: readonly number[];
  readonly tunnel: readonly number[];
}

const downloadLimitMs = 600_000;

async function compare({ bytes, rounds, ...options }: SingleDownloadOptions): Promise<SingleDownloadResult> {
  await using tunnel = await startDistantTunnel(options);
  const { area, originPort, target } = tunnel;
  const congestionControl = (await Bun.file("/proc/sys/net/ipv4/tcp_congestion_control").text()).trim();
  // Both ways keep their connection: TCP's slow start is not what is compared.
  const wires = {
    direct: await Wire.connect(originPort, area.farAddress),
    tunnel: await Wire.connect(target.port),
  };
  const hosts = { direct: `${area.farAddress}:${originPort}`, tunnel: target.host };
  const wanted = Pattern.sha256(bytes);
  const rates = { direct: [] as number[], tunnel: [] as number[] };
  let wrong = 0;
  for (let round = 0; round < rounds; round++) {
    // A B, B A: a drift of the machine meets both alike.
    const order = round % 2 === 0 ? (["direct", "tunnel"] as const) : (["tunnel", "direct"] as const);
    for (const way of order) {
      const startedAtMs = performance.now();
      const got = await within(
        download(wires[way], hosts[way], bytes),
        downloadLimitMs,
        () => `a download (${way})`,
      );
      const bytesPerSecond = Math.round(bytes / ((performance.now() - startedAtMs) / 1000));
      rates[way].push(bytesPerSecond);
      if (got.sha256 !== wanted || got.bytes !== bytes) wrong++;
      console.error(`${congestionControl} round ${round} ${way}: ${Math.round(bytesPerSecond / 1024)} KiB/s`);
    }
  }
  for (const wire of Object.values(wires)) wire.close();
  return { means: area.means, congestionControl, wrong, ...rates };
}

async function download(wire: Wire, host: string, bytes: number): Promise<{ bytes: number; sha256: string }> {
  await wire.send(`GET /${bytes} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  return await Body.ofResponse(wire, await Head.read(wire), "GET").sha256();
}

if (import.meta.main) {
  endWithParent();
  const result = await compare(JSON.parse(process.argv[2] ?? "") as SingleDownloadOptions);
  console.log(JSON.stringify(result));
  process.exit(0);
}
