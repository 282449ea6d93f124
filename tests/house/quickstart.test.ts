import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { Program } from "../blackbox/programs/program.ts";

const root = join(import.meta.dir, "../..");

/** What a person starts, with a port of its own and events in place of the screen. */
const quickstart = new Program(
  [process.execPath, "scripts/run.mjs", "scripts/quickstart.ts", "--json", "--listen", "127.0.0.1:0"],
  { cwd: root },
);
/** The page's address without the tunnel, as quickstart says it on stderr. */
let direct = "";
/** The path form of the tunnel's address: it resolves everywhere. */
let page = new URL("http://invalid");

beforeAll(async () => {
  const ready = await quickstart.event("ready");
  const listening = await quickstart.event("listening");
  page = new URL(`/~${ready["name"]}/`, String(listening["url"]));
  direct = /http:\/\/127\.0\.0\.1:\d+/.exec(quickstart.stderr)?.[0] ?? "";
});

afterAll(async () => {
  quickstart.signal("SIGINT");
  await quickstart.exited;
});

const at = (path: string): URL => new URL(path, page);

test("the demo page arrives through the tunnel", async () => {
  const answer = await fetch(page);
  expect(answer.status).toBe(200);
  expect(answer.headers.get("content-type")).toBe("text/html; charset=utf-8");
  expect(await answer.text()).toContain("<title>Underpass demo</title>");
});

test("plain HTTP says that it came through a relay", async () => {
  const answer = (await (await fetch(at("hello"))).json()) as {
    tunnel: string | null;
    visitor: string | null;
  };
  expect(answer.tunnel).toBe(page.host);
  expect(answer.visitor).toBe("127.0.0.1");
});

test("events arrive one by one", async () => {
  const answer = await fetch(at("events"));
  expect(answer.headers.get("content-type")).toBe("text/event-stream");
  const seen: number[] = [];
  let text = "";
  for await (const chunk of (answer.body ?? []) as AsyncIterable<Uint8Array>) {
    text += new TextDecoder().decode(chunk);
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const data = /^data: (.*)$/m.exec(text.slice(0, end))?.[1] ?? "{}";
      seen.push((JSON.parse(data) as { n: number }).n);
      text = text.slice(end + 2);
    }
    if (seen.length >= 3) break;
  }
  expect(seen.slice(0, 3)).toEqual([0, 1, 2]);
});

test("a WebSocket echoes", async () => {
  const address = at("socket");
  address.protocol = "ws:";
  const socket = new WebSocket(address);
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  socket.onopen = () => socket.send("through");
  socket.onmessage = ({ data }) => resolve(String(data));
  socket.onclose = ({ code }) => reject(new Error(`closed with ${code}`));
  expect(await promise).toBe("through");
  socket.close();
});

test("an upload arrives whole", async () => {
  const bytes = new Uint8Array(8 * 1024 * 1024);
  for (let from = 0; from < bytes.length; from += 65_536)
    crypto.getRandomValues(bytes.subarray(from, from + 65_536));
  const answer = await fetch(at("upload"), { method: "POST", body: bytes });
  expect(await answer.json()).toEqual({
    bytes: bytes.length,
    sha256: new Bun.CryptoHasher("sha256").update(bytes).digest("hex"),
  });
});

test("one SIGINT ends the agent and the page", async () => {
  expect((await fetch(direct)).status).toBe(200);
  quickstart.signal("SIGINT");
  expect(await quickstart.exit()).toBe(0);
  expect(fetch(direct)).rejects.toThrow();
  expect(fetch(page)).rejects.toThrow();
});
