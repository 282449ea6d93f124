import { type Hello, writeHello } from "../../shared/handshake.ts";
import { RecordType } from "../../shared/mux/frame.ts";
import type { Machine } from "./machine.ts";
import type { Network } from "./network.ts";
import type { EventPlan, LinkPlan } from "./plan.ts";
import { SeededRandom } from "./random.ts";

/** Without delay, so that nothing changes on the way. */
const ghostLink: LinkPlan = { openMs: 0, latencyMs: 0, jitterMs: 0, bytesPerMs: 0, bufferBytes: 65_536 };

/**
 * Somebody on whose link an old HELLO arrives, as it was or forged, with the credential that it had. The network's watch
 * over attempts (`watch.ts`) sees whether the relay falls for it.
 */
export class Ghost {
  #seen = 0;
  /** A relay remembers for as long as sessions can be resumed who was superseded. */
  readonly #oldestMs: number;

  constructor(
    private readonly network: Network,
    readonly machine: Machine,
    resumeWindowMs: number,
  ) {
    this.#oldestMs = resumeWindowMs * 0.8;
  }

  come({ age, forged }: EventPlan & { readonly do: "stale" }): void {
    const { network, machine } = this;
    const { relay, watch, world } = network;
    const old = watch.hellos.at(-1 - age);
    if (relay === undefined || old === undefined || world.nowMs - old.sentMs > this.#oldestMs) return;
    // It would be read who knows when.
    if (relay.machine.stopped) return;
    // A relay that has restarted does not know who was superseded before.
    const newest = watch.hellos.at(-1)?.hello.instance;
    if (old.hello.instance !== newest && old.sentMs < relay.bornMs) return;
    // One that is not stale would be heard in its sender's stead.
    if (!watch.isStale(old.hello)) return;
    const hello = forged === undefined ? old.hello : forge(old.hello, forged);
    const random = new SeededRandom(this.#seen++, 2);
    const machines = { agent: machine, relay: relay.machine };
    const wire = network.connect(ghostLink, random, machines, forged === undefined ? "ghost" : "forger");
    const { agent, relay: arriving } = wire.ends;
    agent.handler = {
      heard() {},
      message: (bytes) => {
        // A GOAWAY is what it gets; a session that it got in spite of all is let go, as by an agent that has died.
        if (bytes[0] === RecordType.welcome) agent.destroy();
      },
      text() {},
      drained() {},
      closed() {},
    };
    world.note(hello.attempt);
    relay.machine.hear(() => {
      // Where there is nothing to resume, whoever has the credential may begin afresh.
      const { session = "" } = hello.resume ?? {};
      if (forged !== undefined && relay.tunnels.session(session) === undefined) return agent.destroy();
      relay.receive(arriving, hello.resume?.session);
      agent.send(writeHello(hello));
    });
  }
}

/** What somebody would say who has heard a HELLO, but not the session's secret. */
function forge(hello: Hello, what: "attempt" | "received" | "slot"): Hello {
  const attempt = hello.attempt + 1_000;
  if (what === "received") return { ...hello, attempt, received: hello.received + 1 };
  if (what === "slot") return { ...hello, attempt, slot: hello.slot ^ 1 };
  return { ...hello, attempt };
}
