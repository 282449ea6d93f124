import { expect, test } from "bun:test";
import type { ReadyEvent, RequestEvent } from "../../agent/screen/events.ts";
import { Screen, type ScreenOptions } from "../../agent/screen/screen.ts";
import { visible } from "../../agent/screen/screen-text.ts";
import { VirtualClock } from "./virtual-clock.ts";

function setUp(
  options: Partial<ScreenOptions> = {},
  columns = 80,
): { screen: Screen; clock: VirtualClock; text: () => string; raw: () => string } {
  const clock = new VirtualClock();
  let written = "";
  const terminal = { write: (text: string) => void (written += text), columns };
  const screen = new Screen({
    terminal,
    clock,
    colors: false,
    qr: false,
    version: "0.1.0",
    ...options,
  });
  // What a terminal shows after the erasures.
  const text = (): string =>
    written
      .split("\n")
      .map((line) => line.split("\r\x1b[K").at(-1))
      .join("\n");
  return { screen, clock, text, raw: () => written };
}

const ready: ReadyEvent = {
  event: "ready",
  name: "blue",
  kind: "http",
  url: "http://blue.localhost:8787",
  urls: ["http://blue.localhost:8787", "http://127.0.0.1:8787/~blue"],
  to: "http://localhost:1",
  resumed: false,
};

function request(more: Partial<RequestEvent>): RequestEvent {
  return {
    event: "request",
    method: "GET",
    path: "/",
    status: 200,
    ms: 1.94,
    bytesIn: 0,
    bytesOut: 12,
    ...more,
  };
}

test("the start shows every URL, the origin, and that an embedded relay is for this machine only", () => {
  const { screen, text } = setUp();
  screen.show(ready);
  expect(text()).toContain("http://blue.localhost:8787\n");
  expect(text()).toContain("http://127.0.0.1:8787/~blue\n");
  expect(text()).toContain("http://localhost:1");
  expect(text()).toContain("this machine only");
  expect(text()).toContain("--relay");
});

test("an embedded relay that others can reach is said to be so", () => {
  const { screen, text } = setUp();
  screen.show({ event: "listening", url: "http://127.0.0.1:8787", embedded: true, lan: true });
  screen.show(ready);
  expect(text()).toContain("everybody in this network");
  expect(text()).not.toContain("this machine only");
});

test("a visitor's path can't speak to the terminal", () => {
  const { screen, raw } = setUp({}, 200);
  screen.show(request({ path: "/\x1b]0;owned\x07\x9b31m\r\nfake\u202e", method: "GE\x1bT" }));
  expect(raw()).toContain("/\\x1b]0;owned\\x07\\x9b31m\\x0d\\x0afake\\u{202e}");
  expect(raw().slice(raw().indexOf("GE"))).not.toMatch(/[^\x20-\x7e\n…]/);
  expect(visible("\u{1f600}é\t~ ")).toBe("\\u{1f600}\\xe9\\x09~ ");
});

test("request lines are aligned and no wider than the window, also with a long path", () => {
  const { screen, text } = setUp();
  const events = [
    request({}),
    request({
      method: "PROPFIND",
      path: `/${"x".repeat(300)}`,
      status: 404,
      ms: 12_345,
      bytesOut: 1_234_567,
    }),
    request({ method: "OPTIONS", path: "*", status: 0, ms: 7_300_000, bytesOut: 999_600 }),
    request({ path: `/${"x".repeat(90)}`, status: 502, code: "origin-refused" }),
  ];
  for (const event of events) screen.show(event);
  const lines = text()
    .split("\n")
    .filter((line) => /^ {2}\d\d:/.test(line));
  for (const line of lines) expect(line).toHaveLength(79);
  expect(lines[0]).toMatch(/ 200 {2}GET {5}\/ +1\.9 ms +12 B$/);
  expect(lines[1]).toMatch(/ 404 {2}PROPFIND \/x+… +12\.3 s +1\.2 MB$/);
  expect(lines[3]).toMatch(/ 502 {2}GET {5}\/x+… origin-refused +1\.9 ms +12 B$/);
  expect(lines[2]).toMatch(/ --- {2}OPTIONS \* +2 h 1 +1\.0 MB$/);
});

test("a lost link counts down on one line that disappears when it is back", () => {
  const { screen, clock, text, raw } = setUp();
  screen.show({ event: "link", link: 0, state: "up", attempt: 0, delayMs: 0 });
  screen.show(ready);
  screen.show({ event: "link", link: 0, state: "lost", attempt: 1, delayMs: 2_500 });
  screen.show({
    event: "error",
    code: "link-lost",
    message: "The link to the relay was lost.",
    fatal: false,
  });
  expect(raw()).toEndWith("was lost.\n    next dial in 3 s");
  clock.advance(1_000);
  screen.show(request({}));
  expect(raw()).toEndWith("12 B\n    next dial in 2 s");
  expect(text()).not.toContain("next dial in 3 s");
  clock.advance(1_000);
  clock.advance(500);
  expect(raw()).toEndWith("    dialling");
  screen.show({ event: "link", link: 0, state: "lost", attempt: 2, delayMs: 4_000 });
  expect(raw()).toEndWith("next dial in 4 s (2nd try)");
  screen.show({ event: "link", link: 0, state: "up", attempt: 0, delayMs: 0 });
  screen.show(ready);
  expect(text()).toEndWith("back under the same address\n");
  expect(text()).not.toContain("dial");
  expect(clock.timers).toBe(0);
});

test("one lost link of two is not worth a line", () => {
  const { screen, text } = setUp();
  for (const link of [0, 1]) screen.show({ event: "link", link, state: "up", attempt: 0, delayMs: 0 });
  screen.show(ready);
  const before = text();
  screen.show({ event: "link", link: 1, state: "lost", attempt: 1, delayMs: 100 });
  expect(text()).toBe(before);
});

test("the QR code comes on the key q, once there is a URL, and not where it has no room", () => {
  const { screen, text } = setUp();
  screen.key("q");
  expect(text()).not.toContain("█");
  screen.show(ready);
  screen.key("q");
  expect(text()).toContain("█");
  const narrow = setUp({}, 20);
  narrow.screen.show(ready);
  narrow.screen.key("q");
  expect(narrow.text()).toContain("too narrow");
  expect(narrow.text()).not.toContain("█");
});

test("--qr shows it at the start", () => {
  const { screen, text } = setUp({ qr: true });
  screen.show(ready);
  expect(text()).toContain("█");
});

test("the hint for dev servers comes once", () => {
  const { screen, text } = setUp();
  screen.blockedHost();
  screen.blockedHost();
  expect(text().match(/--host-header origin/g)).toHaveLength(1);
});

test("an origin that does not listen is explained once", () => {
  const { screen, text } = setUp();
  screen.show(ready);
  for (let i = 0; i < 2; i++) screen.show(request({ status: 502, code: "origin-refused" }));
  expect(text().match(/Nothing listens at http:..localhost:1/g)).toHaveLength(1);
});

test("what there is to know of each kind: its address, where it leads, and how a private one is reached", () => {
  const shown = (more: Partial<ReadyEvent>, options: Partial<ScreenOptions> = {}): string => {
    const { screen, text } = setUp({ relay: "https://r.example", ...options }, 200);
    const { url = "" } = more;
    screen.show({ ...ready, urls: [url], ...more });
    screen.key("q");
    return text();
  };
  const tcp = shown({ kind: "tcp", url: "tcp://r.example:20000", to: "tcp://localhost:5432" });
  for (const part of ["tcp://r.example:20000\n", "tcp://localhost:5432\n", "https://r.example\n"])
    expect(tcp).toContain(part);
  // Nothing opens such an address.
  expect(tcp).not.toMatch(/QR|█/);
  const away = shown({ kind: "private", name: "box", url: "private:box" });
  expect(away).toContain("connect box --listen 127.0.0.1:2222 --relay https://r.example --token-file FILE\n");
  expect(away).toContain("relay token --sub SOMEBODY --connect box");
  const connect = { relay: "http://127.0.0.1:1", tokenFile: "/tmp/t" };
  const here = shown({ kind: "private", name: "box", url: "private:box", connect });
  expect(here).toContain(
    "connect box --listen 127.0.0.1:2222 --relay http://127.0.0.1:1 --token-file /tmp/t\n",
  );
  expect(here).not.toContain("--connect");
  const forward = shown({ kind: "forward", url: "tcp://127.0.0.1:1", to: "tcp://a:2" });
  expect(forward).toContain("tcp://a:2\n");
  expect(forward).not.toContain("over");
});

test("a line for each stream: what it reached, the bytes each way, and why it was cut off", () => {
  const { screen, text } = setUp({}, 100);
  const end = { event: "stream", bytesIn: 5, bytesOut: 12_345_678 } as const;
  screen.show({ ...end, kind: "tcp", end: "closed" });
  screen.show({ ...end, kind: "proxy", target: "a.example:443", end: "closed" });
  screen.show({ ...end, kind: "forward", end: "reset", code: "origin-refused" });
  screen.show({
    ...end,
    kind: "egress",
    target: `${"x".repeat(250)}:1`,
    end: "reset",
    code: "egress-denied",
  });
  screen.show({ ...end, kind: "proxy", target: "\x1b[2J\u202e:1", end: "closed" });
  const lines = text()
    .split("\n")
    .filter((line) => /^ {2}\d\d:/.test(line));
  for (const line of lines) expect(line).toHaveLength(99);
  expect(lines[0]).toMatch(/ {2}end {2}tcp +in +5 B {2}out +12 MB$/);
  expect(lines[1]).toMatch(/ {2}end {2}proxy +a\.example:443 +in /);
  expect(lines[2]).toMatch(/ {2}cut {2}forward +origin-refused +in /);
  expect(lines[3]).toMatch(/ {2}cut {2}egress +x+… egress-denied +in /);
  expect(lines[4]).toContain("\\x1b[2J\\u{202e}:1");
});

test("why a stream was cut off is explained once, where there is something to mend", () => {
  const { screen, text } = setUp();
  const end = {
    event: "stream",
    kind: "proxy",
    target: "a:1",
    bytesIn: 0,
    bytesOut: 0,
    end: "reset",
  } as const;
  for (const code of ["egress-denied", "egress-denied", "cancelled", "origin-closed"] as const)
    screen.show({ ...end, code });
  expect(text().match(/!/g)).toHaveLength(1);
  expect(text()).toContain("egress-denied: No grant allows that destination");
});

test("that there is no WebSocket is told once, and once that there is", () => {
  const { screen, text } = setUp();
  const up = { event: "link", state: "up", attempt: 0, delayMs: 0 } as const;
  for (const link of [0, 1]) screen.show({ ...up, link, transport: "sse" });
  expect(text().match(/no WebSocket/g)).toHaveLength(1);
  screen.show({ ...up, link: 0, transport: "ws" });
  expect(text()).not.toContain("again");
  screen.show({ ...up, link: 1, transport: "ws" });
  expect(text().match(/WebSockets again/g)).toHaveLength(1);
});

test("several tunnels have a line each, and say whose each line is", () => {
  const { screen, text, clock } = setUp({}, 120);
  screen.show({ event: "listening", url: "http://127.0.0.1:1", embedded: true });
  for (const entry of ["web", "api"]) {
    screen.show({ event: "link", link: 0, state: "up", attempt: 0, delayMs: 0, entry });
    screen.show({ ...ready, url: `http://${entry}.r`, urls: [`http://${entry}.r`], entry });
  }
  expect(text().match(/this machine only/g)).toHaveLength(1);
  expect(text()).toMatch(/web +http:\/\/web\.r +to http:\/\/localhost:1\n.*api +http:\/\/api\.r/);
  screen.show({ ...request({ path: "/x" }), entry: "api" });
  expect(text()).toMatch(/GET +api \/x/);
  const error = { event: "error", code: "name-taken", message: "No.", fatal: true } as const;
  screen.show({ ...error, entry: "web" });
  expect(text()).toContain("web: No.\n");
  // The other is well: nothing counts down.
  screen.show({ event: "link", link: 0, state: "lost", attempt: 1, delayMs: 2_000, entry: "web" });
  expect(clock.timers).toBe(0);
  screen.show({ event: "link", link: 0, state: "lost", attempt: 1, delayMs: 2_000, entry: "api" });
  expect(text()).toEndWith("next dial in 2 s");
  screen.show({ event: "link", link: 0, state: "up", attempt: 0, delayMs: 0, entry: "api" });
  screen.show({ ...ready, url: "http://api.r", entry: "api" });
  expect(text()).toContain("api is back under the same address\n");
  screen.show({ event: "reload", added: ["new"], changed: [], removed: ["web", "old"] });
  expect(text()).toContain("added new; removed web, old\n");
  screen.show({ event: "reload", added: [], changed: [], removed: [] });
  expect(text()).toContain("nothing changed\n");
});

test("without colours there is no escape sequence in what stays", () => {
  const { screen, text } = setUp();
  screen.show(ready);
  screen.show(request({}));
  screen.show({ event: "error", code: "unauthorized", message: "no\x1b[2J", fatal: true });
  expect(text()).not.toContain("\x1b");
  const coloured = setUp({ colors: true });
  coloured.screen.show(request({ status: 500 }));
  expect(coloured.raw()).toContain("\x1b[31m500\x1b[39m");
});
