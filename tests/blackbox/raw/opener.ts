import type { Agent } from "../../../agent/agent.ts";
import { checkRelayLink } from "../../../agent/command/relay-link.ts";
import { makeAgent } from "../../../agent/compose/compose-agent.ts";
import { bunPlatform } from "../../../agent/runtimes/bun.ts";
import type { Code } from "../../../shared/errors.ts";
import type { Relay } from "../programs/relay.ts";
import { within } from "../programs/within.ts";

const waitLimitMs = 30_000;

/** An agent that asks a real relay for targets as they are: no proxy front has looked at them before. */
export class Opener {
  private constructor(private readonly agent: Agent) {}

  /** `via`: out of the network of that tunnel's agents. Without: out of the relay's. */
  static async connect(
    relay: Relay,
    token: string,
    { via }: { readonly via?: string } = {},
  ): Promise<Opener> {
    const link = checkRelayLink({ relays: [relay.url], links: 1 }, "--");
    const place = { relays: [new URL(relay.url)], token: async () => token };
    const ready = Promise.withResolvers<void>();
    const agent = makeAgent(
      { platform: bunPlatform, version: "test", link, place },
      {
        kind: via === undefined ? "egress" : "via",
        name: via ?? "opener",
        join: true,
        onEvent: () => {},
        onReady: () => ready.resolve(),
      },
    );
    agent.start();
    const failed = agent.ended.then((reason) => Promise.reject(reason ?? new Error("the agent has ended")));
    await within(Promise.race([ready.promise, failed]), waitLimitMs, () => "an agent that calls");
    failed.catch(() => {});
    return new Opener(agent);
  }

  /** What becomes of a stream to `target`; one that opens is broken off. */
  tcp(target: string): Promise<"opened" | Code> {
    const outcome = new Promise<"opened" | Code>((resolve) => {
      const end = this.agent.caller.tcp(target, () => {
        resolve("opened");
        end.abort("cancelled");
      });
      end.handler = { data() {}, drained() {}, ended() {}, aborted: resolve };
    });
    return within(outcome, waitLimitMs, () => `an answer about ${JSON.stringify(target)}`);
  }

  /** The same for a flow; `answer`: what came back for `say`. */
  udp(target: string, say = "?"): Promise<{ outcome: "opened" | Code; answer?: string }> {
    const answered = new Promise<{ outcome: "opened" | Code; answer?: string }>((resolve) => {
      const flow = this.agent.caller.udp(target, {
        opened: () => flow.send(new TextEncoder().encode(say)),
        datagram(bytes) {
          resolve({ outcome: "opened", answer: new TextDecoder().decode(bytes) });
          flow.close();
        },
        closed: (code) => resolve({ outcome: code ?? "no-error" }),
      });
    });
    return within(answered, waitLimitMs, () => `an answer about the flow to ${JSON.stringify(target)}`);
  }

  async close(): Promise<void> {
    await this.agent.stop(0);
  }
}
