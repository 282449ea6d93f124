import { freePort } from "../programs/free-port.ts";
import { needed } from "../programs/installed.ts";
import { Program } from "../programs/program.ts";
import { run } from "../programs/run.ts";

export interface IperfRun {
  readonly seconds: number;
  /** More of iperf3's own arguments: `-R`, `-P`, `8`. */
  readonly args?: readonly string[];
}

/** What of iperf3's `--json` counts. */
interface Report {
  readonly error?: string;
  readonly end: {
    readonly sum_received: { readonly bits_per_second: number };
    readonly streams: readonly { readonly receiver: { readonly bytes: number } }[];
  };
}

/** The server of iperf3, which takes one visitor at a time, and its other side. */
export class Iperf3 {
  #visits = 0;

  private constructor(
    readonly port: number,
    private readonly program: Program,
  ) {}

  static async start(): Promise<Iperf3> {
    const port = await freePort();
    const args = ["-s", "-B", "127.0.0.1", "-p", String(port), "--forceflush"];
    const program = new Program([needed("iperf3"), ...args]);
    const iperf = new Iperf3(port, program);
    await iperf.#free();
    return iperf;
  }

  /** Visits the server at `port`. Returns what was received in bytes a second. Fails when iperf3 tells any error, and when one of its streams stood still. */
  async visit(port: number, { seconds, args = [] }: IperfRun): Promise<number> {
    await this.#free();
    this.#visits++;
    const { stdout } = await run(
      [needed("iperf3"), "-c", "127.0.0.1", "-p", String(port), "-t", String(seconds), "--json", ...args],
      { limitMs: seconds * 1000 + 30_000 },
    );
    const { error, end } = JSON.parse(stdout) as Report;
    if (error !== undefined) throw new Error(`iperf3: ${error}`);
    if (end.streams.some(({ receiver }) => receiver.bytes === 0)) throw new Error("a stream stood still");
    return end.sum_received.bits_per_second / 8;
  }

  stop(): Promise<void> {
    return this.program.kill();
  }

  /** The end of the visitor before is on its way to the server for a moment. */
  #free(): Promise<void> {
    return this.program.output((stdout) => stdout.split("Server listening on").length > 1 + this.#visits);
  }
}
