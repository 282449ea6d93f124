import { join } from "node:path";
import { natsServerPath } from "../tests/cluster/nats-server.ts";

/** A set of files, run once with what it is told by environment variables. */
export interface Group {
  readonly title: string;
  readonly files: RegExp;
  readonly environment: Readonly<Record<string, string>>;
  /** What the group leaves out, because it makes no sense there. */
  readonly without?: RegExp;
  /** A script to run first. */
  readonly prepare?: string;
}

const blackBox = /^tests\/blackbox\//;

const onBun: Group = {
  title: "black box, relay on Bun",
  files: blackBox,
  environment: { UNDERPASS_TEST_RELAY: "bun" },
};

const onDeno: Group = {
  title: "black box, relay on Deno",
  files: blackBox,
  environment: { UNDERPASS_TEST_RELAY: "deno" },
};

export const inNewestWorkerd: Group = {
  title: "black box, relay in workerd, newest date",
  files: blackBox,
  environment: { UNDERPASS_TEST_RELAY: "workerd", UNDERPASS_TEST_WORKERS: "newest" },
  // There is no program to start, and the platform reads and writes WebSocket frames itself; and what is about the agent.
  without: /\/(agent-cli|autobahn|commands|config|config-reload|relay-cli|tls|usage)\.test\.ts$/,
};

/**
 * What there is of HTTP, WebSockets, private tunnels, links without WebSocket, resuming, sleep and bounds; `npm run edge`
 * runs all at both dates.
 */
const inOldestWorkerd: Group = {
  title: "black box and edge, relay in workerd, oldest date",
  files:
    /^tests\/(blackbox\/(cuts|errors|fidelity|hold|matrix|netcat|processes|restart|routing|servers|sse|streaming|websocket)|edge\/(bounds|event-link|hibernation|kinds|workers))\.test\.ts$/,
  environment: { UNDERPASS_TEST_RELAY: "workerd", UNDERPASS_TEST_WORKERS: "oldest" },
};

/**
 * Two relays that share only a nats-server, the agent at the one and the visitor at the other: what there is of HTTP,
 * WebSockets, TCP and resuming. Where none is installed, nothing can be shared.
 */
const overBusFiles =
  /^tests\/blackbox\/(cuts|errors|fidelity|hold|restart|routing|streaming|tcp|websocket)\.test\.ts$/;
const overBus: Group = {
  title: "black box, two relays on Deno over a bus",
  files: overBusFiles,
  environment: { UNDERPASS_TEST_RELAY: "deno-cluster" },
};
const restOverBus: Group = {
  title: "the rest of the black box, two relays on Deno over a bus",
  files: blackBox,
  environment: { UNDERPASS_TEST_RELAY: "deno-cluster" },
  // What runs every day; what has no relay, or one way to start it of its own; a relay that is replaced on its address,
  // which in a cluster is tests/cluster; TLS and proxies before a relay, which end before the hop.
  without:
    /\/(cuts|errors|fidelity|hold|restart|routing|streaming|tcp|websocket|agent-cli|commands|config|drain|http-proxy|relay-cli|rolling|tls|usage)\.test\.ts$/,
};

const cluster: Group = { title: "several relays as one", files: /^tests\/cluster\//, environment: {} };

/** What only the relay in workerd has: its sleep, its deployment. Most of its time it waits. */
export const edge: Group = {
  title: "edge, newest date",
  files: /^tests\/edge\//,
  environment: { UNDERPASS_TEST_WORKERS: "newest" },
};

const binary: Group = {
  title: "black box, the agent's binary",
  files: blackBox,
  environment: {
    UNDERPASS_TEST_RELAY: "bun",
    UNDERPASS_TEST_AGENT: join(import.meta.dir, "../dist/underpass"),
  },
  // What is about the relay would say the same thing again.
  without:
    /\/(autobahn|databases|drain|egress|egress-names|hold|iperf|matrix|names|proxy-browser|proxy-protocol|relay-cli|restart|rolling|routing|servers|sse|ssh|tls-tunnel|udp|usage)\.test\.ts$/,
  prepare: "scripts/build-agent.ts",
};

/** A container, a unit of systemd, proxies in front: what docs/deploy.md tells people to use. */
const deploy: Group = { title: "deploy", files: /^tests\/deploy\//, environment: {} };
const house: Group = { title: "house", files: /^tests\/house\//, environment: {} };

const simulatorSoak: Group = { title: "simulator", files: /^tests\/simulator\/soak\//, environment: {} };
const soak: Group = { title: "soak", files: /^tests\/soak\//, environment: {} };

/** A part of it, for `npm run edge -- --soak`. */
export const edgeSoak: Group = { ...edge, title: "edge soak", files: /^tests\/soak\/edge-/ };

/** What `npm run soak` says again over links without WebSocket; tests/blackbox/sse.test.ts has the essence for every day. */
const behindNginx: Group = {
  title: "black box, links without WebSocket behind nginx",
  files: blackBox,
  environment: { UNDERPASS_TEST_RELAY: "bun", UNDERPASS_TEST_WAY: "nginx" },
  // They count or cut sockets, restart what nginx has open, or have a way of their own.
  without: /\/(agent-cli|relay-cli|usage|autobahn|tls|drain|rolling|cuts|http-proxy|matrix|sse)\.test\.ts$/,
};

/** All that starts no programs, or few. */
const units: Group = {
  title: "units",
  files: /^tests\/(?!(blackbox|cluster|deploy|edge|house|soak|simulator\/soak)\/)/,
  environment: {},
};

/**
 * `npm test`. Two run at a time, for two cores: files spend more than half of their time waiting, and none has a figure
 * for a bar that a neighbour could spoil. The longest begin, so that both ways end at about the same time.
 */
export const dailyGroups: readonly Group[] = [
  ...[onDeno, onBun, binary, inOldestWorkerd, inNewestWorkerd],
  ...[cluster, units, ...(natsServerPath === undefined ? [] : [overBus]), edge, deploy, house],
];

/** `npm run soak`, one after another: these measure. */
export const soakGroups: readonly Group[] = [
  ...[simulatorSoak, soak, behindNginx],
  ...(natsServerPath === undefined ? [] : [restOverBus]),
];

/** The members of a group among the files that are wanted. */
export function membersOf({ files, without }: Group, wanted: readonly string[]): string[] {
  return wanted.filter((file) => files.test(file) && without?.test(file) !== true);
}
