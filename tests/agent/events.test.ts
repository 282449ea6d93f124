import { expect, test } from "bun:test";
import type { FleetEvent } from "../../agent/fleet/event.ts";
import { looksLikeBlockedHost } from "../../agent/screen/blocked-host.ts";
import { type AgentEvent, eventLine } from "../../agent/screen/events.ts";
import { logLine } from "../../agent/screen/log.ts";

const events: readonly AgentEvent[] = [
  { event: "listening", url: "http://127.0.0.1:8787", embedded: true },
  {
    event: "ready",
    name: "blue",
    kind: "http",
    url: "http://b:1",
    urls: ["http://b:1", "http://h:1/~b"],
    resumed: false,
  },
  { event: "link", link: 0, state: "up", attempt: 0, delayMs: 0 },
  { event: "link", link: 1, state: "lost", attempt: 2, delayMs: 250 },
  { event: "request", method: "GET", path: "/", status: 200, ms: 1.9, bytesIn: 0, bytesOut: 12 },
  {
    event: "request",
    method: "GET",
    path: "/",
    status: 502,
    ms: 1,
    bytesIn: 0,
    bytesOut: 0,
    code: "origin-refused",
  },
  { event: "stream", kind: "tcp", bytesIn: 1, bytesOut: 2, end: "closed" },
  { event: "error", code: "unauthorized", message: "no", fatal: true },
];

test("each event is one JSON line that reads back the same", () => {
  for (const event of events) {
    const line = eventLine(event);
    expect(line.indexOf("\n")).toBe(line.length - 1);
    expect(JSON.parse(line)).toEqual(event);
  }
});

test("a visitor's path can't break a line of JSON, nor one of the log", () => {
  const event: AgentEvent = {
    event: "request",
    method: "GET",
    path: "/\r\n\x1b[2J{",
    status: 200,
    ms: 1,
    bytesIn: 0,
    bytesOut: 0,
  };
  expect(eventLine(event).slice(0, -1)).not.toMatch(/[\r\n]/);
  expect(logLine(event, { verbose: false })).toMatch(/^[\x20-\x7e]+$/);
});

test("the log has a line for what matters, and more of them when asked for more", () => {
  const lines = (verbose: boolean): (string | undefined)[] =>
    events.map((event) => logLine(event, { verbose }));
  expect(lines(false)).toEqual([
    undefined,
    "ready: http://b:1 http://h:1/~b",
    undefined,
    "link 1 lost, next dial in 250 ms (try 2)",
    "GET / 200 1.9ms in=0 out=12",
    "GET / 502 1ms in=0 out=0 origin-refused",
    "tcp in=1 out=2 closed",
    "unauthorized: no",
  ]);
  expect(lines(true)).not.toContain(undefined);
});

test("the log tells whose line it is, what was reached and why not, and how a private tunnel is", () => {
  const line = (event: FleetEvent): string | undefined => logLine(event, { verbose: false });
  const stream = { event: "stream", bytesIn: 1, bytesOut: 2 } as const;
  expect(line({ ...stream, kind: "proxy", target: "a\n:1", end: "reset", code: "egress-denied" })).toBe(
    "proxy a\\x0a:1 in=1 out=2 reset egress-denied",
  );
  expect(line({ ...stream, kind: "tcp", end: "closed", entry: "db" })).toBe("db: tcp in=1 out=2 closed");
  const up = { event: "link", link: 1, state: "up", attempt: 0, delayMs: 0 } as const;
  expect(line({ ...up, transport: "sse" })).toBe("link 1 up, without WebSocket");
  expect(line({ ...up, transport: "ws" })).toBeUndefined();
  expect(line({ event: "reload", added: ["a", "b"], changed: [], removed: ["c"] })).toBe(
    "read again: added a b, changed none, removed c",
  );
  const ready = { event: "ready", name: "box", kind: "private", url: "private:box", resumed: false } as const;
  const connect = { relay: "http://r:1", tokenFile: "/t" };
  expect(line({ ...ready, urls: [ready.url] })).toBe("ready: private:box");
  expect(line({ ...ready, urls: [ready.url], connect })).toBe(
    "ready: private:box (reach it: underpass connect box --listen 127.0.0.1:2222 --relay http://r:1 --token-file /t)",
  );
});

test.each([
  ['Blocked request. This host ("blue.tunnel.test") is not allowed.\nTo allow this host, add ...', true],
  ["Invalid Host header", true],
  ["<html><body><h1>Forbidden</h1>", false],
  ["", false],
])("the refusal of a dev server is known by its words: %j", (body, expected) => {
  expect(looksLikeBlockedHost(new TextEncoder().encode(body))).toBe(expected);
});
