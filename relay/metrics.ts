import type { Code } from "../shared/errors.ts";
import type { ClusterFigures } from "./cluster/cluster-figures.ts";

/** Upper bounds in milliseconds: an answer from memory, a page, a slow page, a long poll. */
const bucketsMs = [5, 25, 100, 500, 2_500, 10_000, 60_000] as const;
const statusClasses = ["1xx", "2xx", "3xx", "4xx", "5xx"] as const;

/**
 * What the relay counts. Fields are plain numbers that their owners add to: an increment costs nothing. Gauges are set
 * by who knows (links and sessions rise and fall). `text` prints all in Prometheus' text form, version 0.0.4.
 */
export class Metrics {
  /** Gauges. */
  streamsOpen = 0;
  /** Of udp tunnels' visitors. */
  flowsOpen = 0;
  links = 0;
  sessions = 0;
  tunnels = 0;
  memoryHeldBytes = 0;
  /** Requests that wait for an agent. */
  held = 0;
  /** Counters. `In`: from visitors; `Out`: to visitors. Bodies, without heads. */
  streams = 0;
  bytesIn = 0;
  bytesOut = 0;
  /** Streams from neighbours, and to them. */
  hopsIn = 0;
  hopsOut = 0;
  /** Of those streams, without heads. */
  hopBytesIn = 0;
  hopBytesOut = 0;
  /** Agents' links for sessions of other relays. */
  linksPassed = 0;
  /** What was written in a cluster's registry. */
  claims = 0;
  renewals = 0;
  releases = 0;
  /** Sessions that were told to go to a relay with fewer. */
  rebalanced = 0;
  holds = 0;
  holdsExpired = 0;

  readonly #byClass = [0, 0, 0, 0, 0];
  readonly #refusals = new Map<Code, number>();
  readonly #buckets: number[] = new Array(bucketsMs.length + 1).fill(0);
  #sumMs = 0;

  /** A visitor's exchange is over: the status that was sent, and how long after the request's head. */
  answered(status: number, ms: number): void {
    const index = Math.trunc(status / 100) - 1;
    if (index >= 0 && index < 5) this.#byClass[index] = (this.#byClass[index] ?? 0) + 1;
    let bucket = 0;
    while (bucket < bucketsMs.length && ms > (bucketsMs[bucket] ?? 0)) bucket++;
    this.#buckets[bucket] = (this.#buckets[bucket] ?? 0) + 1;
    this.#sumMs += ms;
  }

  /** A visitor or an agent was refused with `code`. */
  refused(code: Code): void {
    this.#refusals.set(code, (this.#refusals.get(code) ?? 0) + 1);
  }

  /** `cluster`: the one that the relay is one of, if it is. */
  text(cluster?: ClusterFigures): string {
    const lines: string[] = [];
    const family = (name: string, type: string, help: string) =>
      lines.push(`# HELP underpass_${name} ${help}`, `# TYPE underpass_${name} ${type}`);
    const single = (name: string, type: string, help: string, value: number) => {
      family(name, type, help);
      lines.push(`underpass_${name} ${value}`);
    };
    family("requests_total", "counter", "Visitors' requests that were answered, by class of status.");
    statusClasses.forEach((name, i) => {
      lines.push(`underpass_requests_total{class="${name}"} ${this.#byClass[i]}`);
    });
    family("refusals_total", "counter", "Visitors and agents that the relay refused, by code.");
    for (const [code, count] of this.#refusals)
      lines.push(`underpass_refusals_total{code="${code}"} ${count}`);
    family("response_seconds", "histogram", "Time from a request's head to the end of its answer.");
    let total = 0;
    this.#buckets.forEach((count, i) => {
      total += count;
      const bound = bucketsMs[i];
      lines.push(
        `underpass_response_seconds_bucket{le="${bound === undefined ? "+Inf" : bound / 1000}"} ${total}`,
      );
    });
    lines.push(
      `underpass_response_seconds_sum ${this.#sumMs / 1000}`,
      `underpass_response_seconds_count ${total}`,
    );
    family("bytes_total", "counter", "Bytes of bodies, from visitors (in) and to visitors (out).");
    lines.push(`underpass_bytes_total{direction="in"} ${this.bytesIn}`);
    lines.push(`underpass_bytes_total{direction="out"} ${this.bytesOut}`);
    single("streams_total", "counter", "Streams that were opened to agents.", this.streams);
    single("streams_open", "gauge", "Streams that are open now.", this.streamsOpen);
    single("flows_open", "gauge", "Visitors of udp tunnels who were heard of lately.", this.flowsOpen);
    single("held", "gauge", "Requests that wait for an agent now.", this.held);
    single("held_total", "counter", "Requests that had to wait for an agent.", this.holds);
    single("held_expired_total", "counter", "Requests that waited in vain.", this.holdsExpired);
    single("links", "gauge", "Agents' links that are open now.", this.links);
    single("sessions", "gauge", "Sessions that are held now.", this.sessions);
    single("tunnels", "gauge", "Tunnels with at least one agent.", this.tunnels);
    single("memory_held_bytes", "gauge", "Bytes in the relay's own buffers.", this.memoryHeldBytes);
    if (cluster === undefined) return `${lines.join("\n")}\n`;
    const { nodes, registryReachable, names } = cluster;
    const both = (name: string, help: string, into: number, out: number) => {
      family(name, "counter", help);
      lines.push(`underpass_${name}{direction="in"} ${into}`, `underpass_${name}{direction="out"} ${out}`);
    };
    const alive = nodes.filter((node) => node.alive).length;
    const reached = nodes.filter(({ link }) => link !== "none").length;
    single("cluster_nodes", "gauge", "Relays of the cluster that are alive, this one too.", alive + 1);
    single("cluster_neighbours", "gauge", "Other relays to which this one has a link now.", reached);
    single("cluster_registry_up", "gauge", "1: names can be given away.", registryReachable ? 1 : 0);
    single("cluster_names", "gauge", "Names that somebody has, in the whole cluster.", names);
    both("hops_total", "Streams from other relays (in) and to them (out).", this.hopsIn, this.hopsOut);
    both(
      "hop_bytes_total",
      "Bytes of those, from visitors (in) and to them (out).",
      this.hopBytesIn,
      this.hopBytesOut,
    );
    single("links_passed_total", "counter", "Agents' links for sessions of other relays.", this.linksPassed);
    family("registry_writes_total", "counter", "What this relay has written in the registry.");
    for (const verb of ["claims", "renewals", "releases"] as const)
      lines.push(`underpass_registry_writes_total{verb="${verb}"} ${this[verb]}`);
    single("rebalanced_total", "counter", "Sessions that were told to go elsewhere.", this.rebalanced);
    return `${lines.join("\n")}\n`;
  }
}
