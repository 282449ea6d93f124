import type { Target } from "../contenders/contender.ts";
import { chat } from "./generators.ts";
import type { Measurement, Settings, Workload } from "./workload.ts";

const workMessages = 10_000;
const bytes = 32;

/** WebSocket messages there and back, as many as get through. */
export class Messages implements Workload {
  readonly name: string;
  readonly about: string;
  readonly way = "chat";
  readonly workUnit = "10,000 messages";
  readonly metrics = [{ name: "rate", unit: "messages/s", better: "more" }] as const;
  readonly #load: { readonly sockets: number; readonly depth: number };

  /** `depth`: messages under way on each socket. */
  constructor(load: { readonly sockets: number; readonly depth: number }) {
    this.#load = load;
    this.name = `websocket-${load.sockets}${load.depth > 1 ? `x${load.depth}` : ""}`;
    this.about = `messages of ${bytes} bytes to an echo and back over ${load.sockets} WebSocket${load.sockets > 1 ? "s" : ""}, ${load.depth} under way on each`;
  }

  async measure(target: Target, settings: Settings): Promise<Measurement> {
    const { messages, seconds } = await chat(target, { ...this.#load, bytes }, settings);
    if (messages === 0) throw new Error("no message came back");
    return { values: { rate: messages / seconds }, work: messages / workMessages };
  }
}
