import { join } from "node:path";

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

/** Groups that run one after another, beside those of the other lanes. */
export type Lane = readonly Group[];

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
  // What is about the agent, which is the same one.
  without: /\/(agent-cli|commands|config|proxy-browser|usage)\.test\.ts$/,
};

/** Runs with the date of wrangler.toml in the newest workerd; tests/edge does so among the units. */
export const inNewestWorkerd: Group = {
  title: "black box, relay in workerd, newest date",
  files: blackBox,
  environment: { UNDERPASS_TEST_RELAY: "workerd", UNDERPASS_TEST_WORKERS: "newest" },
  // There is no program to start, and the platform reads and writes WebSocket frames itself; and what is about the agent.
  without: /\/(agent-cli|autobahn|commands|config|config-reload|relay-cli|tls|usage)\.test\.ts$/,
};

/** What there is of HTTP, WebSockets, private tunnels, links without WebSocket and resuming, and all of tests/edge that deploys nothing. */
export const inOldestWorkerd: Group = {
  title: "black box and edge, relay in workerd, oldest date",
  files:
    /^tests\/(blackbox\/(errors|fidelity|hold|matrix|netcat|processes|restart|routing|servers|sse|streaming|websocket)|edge\/.*)\.test\.ts$/,
  environment: { UNDERPASS_TEST_RELAY: "workerd", UNDERPASS_TEST_WORKERS: "oldest" },
  without: /\/(deploy|workers-date)\.test\.ts$/,
};

/** tests/edge by itself: a part of the units. */
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

const deploy: Group = { title: "deploy", files: /^tests\/deploy\//, environment: {} };
const house: Group = { title: "house", files: /^tests\/house\//, environment: {} };

const simulatorSoak: Group = { title: "simulator", files: /^tests\/simulator\/soak\//, environment: {} };
const soak: Group = { title: "soak", files: /^tests\/soak\//, environment: {} };

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
  files: /^tests\/(?!(blackbox|deploy|house|soak|simulator\/soak)\/)/,
  environment: {},
};

/**
 * `npm test`, stage after stage. What measures throughput or memory has the machine to itself on Bun; then two lanes run
 * side by side, as these spend more than half of their time waiting.
 */
export const dailyStages: readonly (readonly Lane[])[] = [
  [[units]],
  [[onBun]],
  [[onDeno], [inNewestWorkerd, inOldestWorkerd, binary, deploy, house]],
];

export const soakStages: readonly (readonly Lane[])[] = [[[simulatorSoak, soak, behindNginx]]];

/** The members of a group among the files that are wanted. */
export function membersOf({ files, without }: Group, wanted: readonly string[]): string[] {
  return wanted.filter((file) => files.test(file) && without?.test(file) !== true);
}
