import type { UnderpassError } from "../../shared/errors.ts";
import type { ForwardCommand } from "../command/options.ts";
import type { Doorway } from "../local/doorway.ts";
import { startForward } from "../local/forward.ts";
import type { Surroundings } from "./compose-agent.ts";
import { localUrl } from "./local-door.ts";
import type { Running } from "./running.ts";

/** `forward` with its listener bound. Rejects with UnderpassError `port-in-use`. */
export async function openForwarding(
  { listen, to }: ForwardCommand,
  { platform, onEvent }: Surroundings,
): Promise<Forwarding> {
  const { host, port, unix } = to;
  const forward = await startForward({
    ...{ listen: platform.listen, dial: platform.dial, clock: platform.clock, listenAt: listen },
    to: {
      ...(host !== undefined && { host }),
      ...(port !== undefined && { port }),
      ...(unix !== undefined && { unix }),
    },
    onStream: onEvent,
  });
  const url = localUrl("tcp", forward);
  return new Forwarding(forward, () =>
    onEvent({ event: "ready", kind: "forward", url, urls: [url], to: to.url, resumed: false }),
  );
}

/** A plain TCP proxy that runs as a command. */
export class Forwarding implements Running {
  readonly ended: Promise<UnderpassError | undefined>;
  readonly #forward: Doorway;
  readonly #tellReady: () => void;
  readonly #end: () => void;

  constructor(forward: Doorway, tellReady: () => void) {
    this.#forward = forward;
    this.#tellReady = tellReady;
    const { promise, resolve } = Promise.withResolvers<undefined>();
    this.ended = promise;
    this.#end = () => resolve(undefined);
  }

  get openStreams(): number {
    return this.#forward.openStreams;
  }

  start(): void {
    this.#tellReady();
  }

  abandon(): void {
    this.#forward.abandon();
  }

  async stop(graceMs: number): Promise<void> {
    await this.#forward.close(graceMs);
    this.#end();
  }
}
