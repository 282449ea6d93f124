import { needed } from "../programs/installed.ts";
import { Program } from "../programs/program.ts";

/** OpenBSD's `nc -N`: it says what it has to say, half-closes, and listens to the end. */
export const netcat = {
  visit(port: number, said: string): Program {
    return new Program([needed("nc"), "-N", "-n", "127.0.0.1", String(port)], { stdin: said });
  },

  /**
   * One that waits at `port` for a visitor, and serves no other. It leaves as soon as the visitor has said all: it can't
   * answer after that.
   */
  async wait(port: number, said: string): Promise<Program> {
    const program = new Program([needed("nc"), "-v", "-N", "-n", "-l", "127.0.0.1", String(port)], {
      stdin: said,
    });
    await program.output((_, stderr) => stderr.includes("Listening"));
    return program;
  },
};
