import type { Relay } from "../blackbox/programs/relay.ts";

/** A gauge may come to rest a moment after the last answer: its socket's end has to come through. */
const restLimitMs = 10_000;
const lookEveryMs = 50;

/** What a relay says of itself at /metrics, by name without the prefix; labelled ones are left out. */
export async function relayMetrics(relay: Relay): Promise<Record<string, number>> {
  const text = await (await fetch(`${relay.url}/metrics`)).text();
  return Object.fromEntries(
    [...text.matchAll(/^underpass_(\w+) (\S+)$/gm)].map(([, name = "", value = ""]) => [name, Number(value)]),
  );
}

/** The metrics once no stream is open and none is waited for, or when it has taken too long. */
export async function relayMetricsAtRest(relay: Relay): Promise<Record<string, number>> {
  for (const untilMs = performance.now() + restLimitMs; ; ) {
    const metrics = await relayMetrics(relay);
    if (metrics["streams_open"] === 0 && metrics["held"] === 0) return metrics;
    if (performance.now() > untilMs) return metrics;
    await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
  }
}
