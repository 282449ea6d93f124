import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { agentProgram } from "./programs/agent.ts";
import { about, ConfigFolder } from "./programs/config-folder.ts";
import { projectRoot, type Relay, startRelay } from "./programs/relay.ts";
import { answerText } from "./raw/answer-text.ts";
import { RawOrigin } from "./raw/origin.ts";
import { visit } from "./raw/visitor.ts";

const testLimitMs = 60_000;

let relay: Relay;
let one: RawOrigin;
let two: RawOrigin;
let folder: ConfigFolder;

beforeAll(async () => {
  relay = await startRelay();
  folder = await ConfigFolder.make(relay);
  one = await RawOrigin.listen(answerText("one"));
  two = await RawOrigin.listen(answerText("two"));
}, testLimitMs);
afterEach(() => folder.killAll());
afterAll(async () => {
  await folder?.close();
  await relay?.kill();
  await one?.close();
  await two?.close();
});

const target = (name: string) => ({ port: relay.port, host: relay.hostFor(name) });

describe("agent start", () => {
  test(
    "runs the tunnels of underpass.yaml in the working folder, each URL on a line",
    async () => {
      const tunnels = folder.tunnels(`web: {http: ${one.port}}`, `api: {http: ${two.port}}`);
      await folder.put("underpass.yaml", tunnels.replace(folder.file("token.jwt"), "token.jwt"));
      const agent = folder.run("start");
      await agent.output((stdout) => stdout.trim().split("\n").length === 2);
      expect(agent.stdout.trim().split("\n").sort()).toEqual([
        `http://api.localhost:${relay.port}`,
        `http://web.localhost:${relay.port}`,
      ]);
      expect((await visit(target("web"))).text).toBe("one");
      expect((await visit(target("api"))).text).toBe("two");
      expect(await agent.stop()).toBe(0);
    },
    testLimitMs,
  );

  test(
    "runs the entries that are named and no other; unknown ones are exit 2, with those there are",
    async () => {
      const tunnels = folder.tunnels(`web: {http: ${one.port}}`, `api: {http: ${two.port}}`);
      const some = await folder.start("some.yaml", tunnels, "api");
      await some.event("ready", about("api"));
      expect(await some.stop()).toBe(0);
      expect(some.events.filter((event) => event["entry"] !== "api")).toEqual([]);
      const unknown = await folder.start("some.yaml", tunnels, "api", "wep");
      expect(await unknown.exit()).toBe(2);
      expect(unknown.stderr).toContain("some.yaml has no wep. There are web, api.");
    },
    testLimitMs,
  );

  test(
    "a tunnel that is refused ends alone; when none is left its code is the exit",
    async () => {
      await writeFile(folder.file("other.jwt"), await relay.token({ sub: "somebody-else" }));
      await folder.started("owner.yaml", { mine: one.port });
      const tunnels = folder.tunnels("mine: {http: 1}", "free: {http: 1}").replace("token.jwt", "other.jwt");
      const both = await folder.start("guest.yaml", tunnels);
      const refused = await both.event("error", about("mine"));
      expect(refused).toMatchObject({ code: "name-taken", fatal: true, name: "mine" });
      await both.event("ready", about("free"));
      expect(await both.stop()).toBe(0);
      const alone = await folder.start("guest.yaml", tunnels, "mine");
      expect(await alone.exit()).toBe(4);
    },
    testLimitMs,
  );

  test(
    "no file, and one that is wrong, are exit 2, with all that is wrong",
    async () => {
      const none = agentProgram(["start"], { cwd: projectRoot });
      expect(await none.exit()).toBe(2);
      expect(none.stderr).toBe("underpass: underpass.yaml can't be read; give --config FILE.\n");
      const wrong = await folder.start("wrong.yaml", "tunnels: {web: {http: 0}}\nlink: 1");
      expect(await wrong.exit()).toBe(2);
      const path = folder.file("wrong.yaml");
      expect(wrong.stderr.trim().split("\n")).toEqual([
        `${path}:1: tunnels.web.http: give a whole number from 1 to 65535.`,
        `${path}:2: link: unknown key; did you mean 'links'?`,
      ]);
      expect(wrong.events).toMatchObject([{ event: "error", code: "usage", fatal: true }]);
    },
    testLimitMs,
  );

  test(
    "runs examples/underpass.yaml as it is, all at one relay in the same process",
    async () => {
      const file = join(projectRoot, "examples/underpass.yaml");
      const agent = folder.run("start", "--config", file, "--listen", "127.0.0.1:0", "--json");
      const entries = ["web", "app", "db", "box"];
      const ready = await Promise.all(entries.map((entry) => agent.event("ready", about(entry))));
      expect(ready.map((event) => event["kind"])).toEqual(["http", "http", "tcp", "private"]);
      expect(agent.events.filter(({ event }) => event === "listening")).toHaveLength(1);
      expect(await agent.stop()).toBe(0);
    },
    testLimitMs,
  );
});

describe("agent config check", () => {
  test(
    "says what would start, a line each",
    async () => {
      const tunnels = folder.tunnels("web: {http: 8080}", "db: {tcp: 5432, name: office-db}");
      await folder.put("fine.yaml", tunnels);
      const check = folder.run("config", "check", "--config", "fine.yaml");
      expect(await check.exit()).toBe(0);
      const columns = check.stdout
        .trim()
        .split("\n")
        .map((line) => line.split(/\s+/));
      expect(columns).toEqual([
        ["web", "http", "web", "http://localhost:8080", relay.url],
        ["db", "tcp", "office-db", "tcp://localhost:5432", relay.url],
      ]);
      const json = folder.run("config", "check", "--config", "fine.yaml", "--json");
      expect(await json.exit()).toBe(0);
      expect(JSON.parse(json.stdout.split("\n")[0] ?? "")).toEqual({
        ...{ entry: "web", kind: "http", name: "web", at: "http://localhost:8080", relay: relay.url },
      });
    },
    testLimitMs,
  );

  test(
    "warns of a proxy that whoever reaches it may use, as the command line does",
    async () => {
      const proxies = "\nproxy:\n  open: {listen: 0.0.0.0:0}\n  near: {listen: 127.0.0.1:0}\n";
      await folder.put("open.yaml", `${folder.tunnels("web: {http: 8080}")}${proxies}`);
      const check = folder.run("config", "check", "--config", "open.yaml");
      expect(await check.exit()).toBe(0);
      expect(check.stderr).toMatch(/^warning: open: Whoever can reach this proxy may use it\..*\n$/);
      const start = folder.run("start", "--config", "open.yaml", "open");
      await start.output((_, stderr) => stderr.includes("warning: open: Whoever"));
    },
    testLimitMs,
  );

  test(
    "says all that is wrong, with lines, and is exit 2",
    async () => {
      await folder.put("amiss.yaml", "tunnels:\n  web: {htp: 1, http: 2}\n  db: {tcp: 0}\nlink: 2\n");
      const check = folder.run("config", "check", "--config", "amiss.yaml");
      expect(await check.exit()).toBe(2);
      expect(check.stdout).toBe("");
      expect(check.stderr.trim().split("\n")).toEqual([
        "amiss.yaml:2: tunnels.web.htp: unknown key; did you mean 'http'?",
        "amiss.yaml:3: tunnels.db.tcp: give a whole number from 1 to 65535.",
        "amiss.yaml:4: link: unknown key; did you mean 'links'?",
      ]);
    },
    testLimitMs,
  );
});
