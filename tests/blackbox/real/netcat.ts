import { freePort } from "../programs/free-port.ts";
import { needed } from "../programs/installed.ts";
import { Program } from "../programs/program.ts";
import { within } from "../programs/within.ts";

const exchangeLimitMs = 30_000;

/** Two `nc -N`: each says what it has to say, half-closes, and listens to the end. One waits at `port`, for a single visitor. */
export class Netcat {
  private constructor(readonly port: number) {}

  static async reserve(): Promise<Netcat> {
    return new Netcat(await freePort());
  }

  /** The visitor is `command`, or nc where it is a port. Returns what each has heard. */
  async exchange(
    way: number | readonly string[],
    said: { readonly visitor: string; readonly origin: string },
  ): Promise<{ readonly visitor: string; readonly origin: string }> {
    const nc = needed("nc");
    const origin = new Program([nc, "-v", "-N", "-n", "-l", "127.0.0.1", String(this.port)], {
      stdin: said.origin,
    });
    await origin.output((_, stderr) => stderr.includes("Listening"));
    const command = typeof way === "number" ? [nc, "-N", "-n", "127.0.0.1", String(way)] : way;
    const visitor = new Program(command, { stdin: said.visitor });
    const both = Promise.all([visitor.exited, origin.exited]);
    try {
      await within(both, exchangeLimitMs, () => `${visitor.describe()}\n${origin.describe()}`);
      return { visitor: visitor.stdout, origin: origin.stdout };
    } finally {
      await visitor.kill();
      await origin.kill();
    }
  }
}
