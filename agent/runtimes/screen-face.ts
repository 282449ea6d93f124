import manifest from "../../package.json" with { type: "json" };
import type { FaceOptions } from "../command/options.ts";
import { Screen } from "../screen/screen.ts";
import { bunPlatform } from "./bun.ts";
import type { Face, FacePlace } from "./faces.ts";
import { readKeys } from "./keys.ts";

/** For a person at a terminal. */
export function screenFace(options: FaceOptions, { relay, interrupt }: FacePlace): Face {
  const { stdout } = process;
  const screen = new Screen({
    terminal: {
      write: (text) => void stdout.write(text),
      get columns() {
        return stdout.columns || 80;
      },
    },
    clock: bunPlatform.clock,
    colors: !process.env["NO_COLOR"] && process.env["TERM"] !== "dumb",
    qr: options.qr,
    version: manifest.version,
    ...(relay !== undefined && { relay }),
  });
  const releaseKeys = readKeys((key) => {
    if (key === "\x03") interrupt();
    else screen.key(key);
  });
  return {
    show: (event) => screen.show(event),
    warn: (text) => screen.note(text),
    blockedHost: (tunnel) => screen.blockedHost(tunnel),
    stopping: (open) => screen.stopping(open),
    async close() {
      screen.close();
      releaseKeys();
    },
  };
}
