/**
 * A program: many agents in one process. `{"token":...,"tunnels":[...]}` is JSON in AGENTS. Each line on stdout is an
 * event as of `--json`, with the tunnel's `entry`.
 */
import { type ExposeOptions, expose } from "../../../agent/expose.ts";

export interface AgentsOptions {
  readonly token: string;
  readonly tunnels: readonly (Pick<ExposeOptions, "port" | "tcp" | "private" | "links" | "join" | "relay"> & {
    readonly name: string;
  })[];
}

/** Dialled at the same time. */
const atATime = 16;

const { token, tunnels } = JSON.parse(process.env["AGENTS"] ?? "{}") as AgentsOptions;
const say = (event: object): void => void process.stdout.write(`${JSON.stringify(event)}\n`);
const waiting = tunnels.values();
await Promise.all(
  Array.from({ length: atATime }, async () => {
    for (const { name, ...options } of waiting) {
      const onEvent = (event: object): void => {
        if (!("event" in event) || event.event === "request" || event.event === "stream") return;
        say({ ...event, entry: name });
      };
      await expose({ ...options, name, token, onEvent });
    }
  }),
);
say({ event: "all-ready" });
