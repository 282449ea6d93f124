import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Ongoing } from "./ongoing.ts";
import { agentCommand, agentProgram } from "./programs/agent.ts";
import { freePort } from "./programs/free-port.ts";
import type { Program, ProgramEvent } from "./programs/program.ts";
import { projectRoot, type Relay, relayRuntime, startRelay } from "./programs/relay.ts";
import { startPortRelay } from "./programs/tcp-tunnel.ts";
import { RawOrigin } from "./raw/origin.ts";
import { Visitor, visit } from "./raw/visitor.ts";

const testLimitMs = 60_000;

let relay: Relay;
let one: RawOrigin;
let two: RawOrigin;
let folder: string;
/** Of the test under way. */
let agent: Program | undefined;

const says = (text: string) => async (exchange: Parameters<RawOrigin["script"]>[0]) => {
  await exchange.body.text();
  await exchange.send(`HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`);
};

beforeAll(async () => {
  relay = await startRelay();
  folder = await mkdtemp(join(tmpdir(), "underpass-config-"));
  await writeFile(join(folder, "token.jwt"), await relay.token());
  one = await RawOrigin.listen(says("one"));
  two = await RawOrigin.listen(says("two"));
}, testLimitMs);
afterAll(async () => {
  await relay?.kill();
  await one?.close();
  await two?.close();
  await rm(folder, { recursive: true, force: true });
});
afterEach(async () => {
  await agent?.kill();
  agent = undefined;
});

const target = (name: string) => ({ port: relay.port, host: relay.hostFor(name) });
const about = (entry: string) => (event: ProgramEvent) => event["entry"] === entry;

/** A file for the relay, with these lines under `tunnels:`. */
const text = (...tunnels: string[]) =>
  `relay: ${relay.url}\ntoken-file: token.jwt\ntunnels:\n${tunnels.map((line) => `  ${line}\n`).join("")}`;

/** Puts a file in the place of another, as editors do. */
async function put(path: string, content: string): Promise<void> {
  await writeFile(`${path}.new`, content);
  await rename(`${path}.new`, path);
}

async function start(file: string, content: string, ...args: string[]): Promise<Program> {
  await put(join(folder, file), content);
  const program = agentProgram(["start", "--config", join(folder, file), "--json", ...args]);
  agent = program;
  return program;
}

/** Started, with all of its tunnels ready. */
async function started(file: string, tunnels: Record<string, number>): Promise<Program> {
  const lines = Object.entries(tunnels).map(([name, port]) => `${name}: {http: ${port}}`);
  const program = await start(file, text(...lines));
  await Promise.all(Object.keys(tunnels).map((name) => program.event("ready", about(name))));
  return program;
}

describe("agent start", () => {
  test(
    "runs the tunnels of underpass.yaml in the working folder, each URL on a line",
    async () => {
      await put(join(folder, "underpass.yaml"), text(`web: {http: ${one.port}}`, `api: {http: ${two.port}}`));
      agent = agentProgram(["start"], { cwd: folder });
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
      const content = text(`web: {http: ${one.port}}`, `api: {http: ${two.port}}`);
      const some = await start("some.yaml", content, "api");
      await some.event("ready", about("api"));
      expect(await some.stop()).toBe(0);
      expect(some.events.filter((event) => event["entry"] !== "api")).toEqual([]);
      const unknown = await start("some.yaml", content, "api", "wep");
      expect(await unknown.exit()).toBe(2);
      expect(unknown.stderr).toContain("some.yaml has no wep. There are web, api.");
    },
    testLimitMs,
  );

  test(
    "a tunnel that is refused ends alone; when none is left its code is the exit",
    async () => {
      await writeFile(join(folder, "other.jwt"), await relay.token({ sub: "somebody-else" }));
      const owner = await started("owner.yaml", { mine: one.port });
      const content = text("mine: {http: 1}", "free: {http: 1}").replace("token.jwt", "other.jwt");
      const both = await start("guest.yaml", content);
      const refused = await both.event("error", about("mine"));
      expect(refused).toMatchObject({ code: "name-taken", fatal: true, name: "mine" });
      await both.event("ready", about("free"));
      expect(await both.stop()).toBe(0);
      const alone = await start("guest.yaml", content, "mine");
      expect(await alone.exit()).toBe(4);
      await owner.kill();
    },
    testLimitMs,
  );

  test("no file, and one that is wrong, are exit 2", async () => {
    const none = agentProgram(["start"], { cwd: projectRoot });
    expect(await none.exit()).toBe(2);
    expect(none.stderr).toBe("underpass: underpass.yaml can't be read; give --config FILE.\n");
    const wrong = await start("wrong.yaml", "tunnels: {web: {http: 0}}\nlink: 1");
    expect(await wrong.exit()).toBe(2);
    expect(wrong.stderr).toBe(
      `${join(folder, "wrong.yaml")}:1: tunnels.web.http: give a whole number from 1 to 65535.\n${join(folder, "wrong.yaml")}:2: link: unknown key; did you mean 'links'?\n`,
    );
  });

  test(
    "runs examples/underpass.yaml as it is",
    async () => {
      agent = agentProgram(
        ["start", "--config", "examples/underpass.yaml", "--listen", "127.0.0.1:0", "--json"],
        {
          cwd: projectRoot,
        },
      );
      const entries = ["web", "app", "db", "box"];
      const ready = await Promise.all(entries.map((entry) => agent?.event("ready", about(entry))));
      expect(ready.map((event) => event?.["kind"])).toEqual(["http", "http", "tcp", "private"]);
      expect(agent.events.filter(({ event }) => event === "listening")).toHaveLength(1);
      expect(await agent.stop()).toBe(0);
    },
    testLimitMs,
  );
});

describe("agent config check", () => {
  test("says what would start, a line each", async () => {
    const path = join(folder, "fine.yaml");
    await put(path, text("web: {http: 8080}", "db: {tcp: 5432, name: office-db}"));
    const check = agentProgram(["config", "check", "--config", path]);
    expect(await check.exit()).toBe(0);
    expect(
      check.stdout
        .trim()
        .split("\n")
        .map((line) => line.split(/\s+/)),
    ).toEqual([
      ["web", "http", "web", "http://localhost:8080", relay.url],
      ["db", "tcp", "office-db", "tcp://localhost:5432", relay.url],
    ]);
    const json = agentProgram(["config", "check", "--config", path, "--json"]);
    expect(await json.exit()).toBe(0);
    expect(JSON.parse(json.stdout.split("\n")[0] ?? "")).toEqual({
      ...{ entry: "web", kind: "http", name: "web", at: "http://localhost:8080", relay: relay.url },
    });
  });

  test("says all that is wrong, with lines, and is exit 2", async () => {
    const path = join(folder, "amiss.yaml");
    await put(path, "tunnels:\n  web: {htp: 1, http: 2}\n  db: {tcp: 0}\nlink: 2\n");
    const check = agentProgram(["config", "check", "--config", path]);
    expect(await check.exit()).toBe(2);
    expect(check.stdout).toBe("");
    expect(check.stderr.trim().split("\n")).toEqual([
      `${path}:2: tunnels.web.htp: unknown key; did you mean 'http'?`,
      `${path}:3: tunnels.db.tcp: give a whole number from 1 to 65535.`,
      `${path}:4: link: unknown key; did you mean 'links'?`,
    ]);
  });
});

describe("a file that changes", () => {
  test(
    "in a terminal SIGHUP reads it again too: it is the window's end only where the terminal is gone",
    async () => {
      const path = join(folder, "terminal.yaml");
      await put(path, text(`shown: {http: ${one.port}}`));
      let screen = "";
      let more = Promise.withResolvers<void>();
      const decoder = new TextDecoder();
      const terminal = new Bun.Terminal({
        data(_, bytes) {
          screen += decoder.decode(bytes, { stream: true });
          more.resolve();
          more = Promise.withResolvers();
        },
      });
      const program = Bun.spawn(agentCommand(["start", "--config", path]), { terminal });
      const until = async (part: string) => {
        while (!Bun.stripANSI(screen).includes(part)) await more.promise;
      };
      await until(`http://shown.localhost:${relay.port}`);
      program.kill("SIGHUP");
      await until("read again");
      program.kill("SIGINT");
      expect(await program.exited).toBe(0);
      terminal.close();
    },
    testLimitMs,
  );

  test(
    "SIGHUP: what did not change is not touched, what changed finishes its exchanges, the rest comes and goes",
    async () => {
      const path = join(folder, "hup.yaml");
      const program = await started("hup.yaml", { keep: one.port, move: one.port, leave: one.port });
      await program.event("link", (event) => about("keep")(event) && event["link"] === 1);
      using kept = await Ongoing.start(target("keep"), one);
      using moved = await Ongoing.start(target("move"), one);
      // In place, so that it is SIGHUP or the watch, whichever comes first; both must come to the same.
      const { mark } = program;
      await writeFile(
        path,
        text(`keep: {http: ${one.port}}`, `move: {http: ${two.port}}`, `come: {http: ${two.port}}`),
      );
      program.signal("SIGHUP");
      await program.event("reload", () => true, mark);
      await program.event("ready", about("move"), mark);
      await program.event("ready", about("come"), mark);
      expect((await visit(target("move"))).text).toBe("two");
      expect((await visit(target("come"))).text).toBe("two");
      expect((await visit(target("keep"))).text).toBe("one");
      expect((await visit(target("leave"))).status).toBe(503);
      await kept.moved();
      await moved.moved();
      for (const ongoing of [kept, moved]) {
        const { sent, received, outOfTurn } = await ongoing.finish();
        expect(received).toEqual(sent);
        expect(outOfTurn).toEqual([]);
      }
      const touched = program.events
        .slice(mark)
        .filter((event) => event.event !== "request" && about("keep")(event));
      expect(touched).toEqual([]);
      expect(program.events.filter((event) => event.event === "error")).toEqual([]);
      expect(await program.stop()).toBe(0);
    },
    testLimitMs,
  );

  test(
    "no visitor of a tunnel that changes is refused",
    async () => {
      const program = await started("busy.yaml", { busy: one.port });
      const { mark } = program;
      const answers: string[] = [];
      let asking = true;
      const visitors = Array.from({ length: 4 }, async () => {
        while (asking) {
          const { status, text } = await visit(target("busy"));
          answers.push(`${status} ${text}`);
        }
      });
      await put(join(folder, "busy.yaml"), text(`busy: {http: ${two.port}}`));
      await program.event("ready", about("busy"), mark);
      expect((await visit(target("busy"))).text).toBe("two");
      asking = false;
      await Promise.all(visitors);
      expect(new Set(answers)).toEqual(new Set(["200 one", "200 two"]));
    },
    testLimitMs,
  );

  test(
    "what listens at a port of this machine is changed there, and what it carries goes on",
    async () => {
      const file = (to: number) => `forward: {plain: {listen: "127.0.0.1:${port}", to: ${to}}}`;
      const port = await freePort();
      const rest = Promise.withResolvers<void>();
      const slow = await RawOrigin.listen(async (exchange) => {
        await exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nbeg");
        await rest.promise;
        await exchange.send("end");
      });
      const program = await start("forward.yaml", file(slow.port));
      await program.event("ready", about("plain"));
      using visitor = await Visitor.connect({ port, host: `127.0.0.1:${port}` });
      await visitor.send("GET / HTTP/1.1\r\nHost: HOST\r\n\r\n");
      const { body } = await visitor.answer();
      await slow.arrived(0);
      const { mark } = program;
      await put(join(folder, "forward.yaml"), file(two.port));
      await program.event("ready", about("plain"), mark);
      expect((await visit({ port, host: `127.0.0.1:${port}` })).text).toBe("two");
      rest.resolve();
      expect(await body.text()).toBe("begend");
      await slow.close();
    },
    testLimitMs,
  );

  test(
    "a change is seen: another file in its place, written in place, and a link beside it that is swapped",
    async () => {
      const mounted = join(folder, "mounted");
      const version = async (name: string, port: number) => {
        await mkdir(join(mounted, name), { recursive: true });
        await writeFile(
          join(mounted, name, "u.yaml"),
          text(`seen: {http: ${port}}`).replace("token.jwt", join(folder, "token.jwt")),
        );
        await symlink(name, join(mounted, "..new"));
        await rename(join(mounted, "..new"), join(mounted, "..data"));
      };
      await version("..1", one.port);
      await symlink("..data/u.yaml", join(mounted, "u.yaml"));
      const linked = agentProgram(["start", "--config", join(mounted, "u.yaml"), "--json"]);
      agent = linked;
      await linked.event("ready");
      let { mark } = linked;
      const change = async (how: () => Promise<void>, answer: string) => {
        mark = linked.mark;
        await how();
        await linked.event("ready", () => true, mark);
        expect((await visit(target("seen"))).text).toBe(answer);
      };
      await change(() => version("..2", two.port), "two");
      await change(() => version("..3", one.port), "one");
      const inPlace = text(`seen: {http: ${two.port}}`).replace("token.jwt", join(folder, "token.jwt"));
      await change(() => writeFile(join(mounted, "..3", "u.yaml"), inPlace), "two");
      const instead = inPlace.replace(String(two.port), String(one.port));
      await change(() => put(join(mounted, "u.yaml"), instead), "one");
      expect(linked.events.filter((event) => event.event === "error")).toEqual([]);
    },
    testLimitMs,
  );

  test(
    "one that is broken is told in one line, and the old goes on; once mended it counts",
    async () => {
      const path = join(folder, "broken.yaml");
      const program = await started("broken.yaml", { whole: one.port });
      let { mark } = program;
      await put(path, text("whole: {http: 0}", "other: {htp: 1}"));
      const told = await program.event("error", () => true, mark);
      expect(told).toMatchObject({ code: "usage", fatal: false });
      expect(told["message"]).toBe(
        `${path}:4: tunnels.whole.http: give a whole number from 1 to 65535. (and 2 more) What runs goes on as it was.`,
      );
      mark = program.mark;
      await rm(path);
      await program.event("error", (event) => String(event["message"]).includes("can't be read"), mark);
      expect((await visit(target("whole"))).text).toBe("one");
      mark = program.mark;
      await put(path, text(`whole: {http: ${two.port}}`));
      await program.event("ready", about("whole"), mark);
      expect((await visit(target("whole"))).text).toBe("two");
      expect(await program.stop()).toBe(0);
    },
    testLimitMs,
  );
});

// A relay in workerd has no public ports (docs/kinds.md).
describe.skipIf(relayRuntime === "workerd")("a file with tunnels of other kinds", () => {
  let ports: Relay;
  beforeAll(async () => {
    ports = await startPortRelay();
    await writeFile(join(folder, "ports.jwt"), await ports.token({ connect: ["box"] }));
  }, testLimitMs);
  afterAll(async () => {
    await ports?.kill();
  });

  const withPorts = (rest: string) => `relay: ${ports.url}\ntoken-file: ports.jwt\n${rest}`;
  const portOf = (event: ProgramEvent) => Number(new URL(String(event["url"])).port);
  const at = (port: number) => ({ port, host: `127.0.0.1:${port}` });

  test(
    "a tcp tunnel changes its origin and keeps its public port, and an open visitor what he has",
    async () => {
      const file = (port: number) => withPorts(`tunnels: {db: {tcp: ${port}}}`);
      const program = await start("tcp.yaml", file(one.port));
      const port = portOf(await program.event("ready"));
      using visitor = await Visitor.connect(at(port));
      await visitor.send("GET / HTTP/1.1\r\nHost: HOST\r\n\r\n");
      expect(await (await visitor.answer()).body.text()).toBe("one");
      const { mark } = program;
      await put(join(folder, "tcp.yaml"), file(two.port));
      expect(portOf(await program.event("ready", () => true, mark))).toBe(port);
      expect((await visit(at(port))).text).toBe("two");
      await visitor.send("GET / HTTP/1.1\r\nHost: HOST\r\n\r\n");
      expect(await (await visitor.answer()).body.text()).toBe("one");
    },
    testLimitMs,
  );

  test(
    "a tunnel changes its kind under its name, and what connects to it is in the same file",
    async () => {
      const before = withPorts(`tunnels: {box: {http: ${one.port}}}`);
      const program = await start("kind.yaml", before);
      await program.event("ready");
      const { mark } = program;
      await put(
        join(folder, "kind.yaml"),
        withPorts(
          `tunnels: {box: {private: ${two.port}}}\nconnect: {there: {listen: "127.0.0.1:0", name: box}}`,
        ),
      );
      const ready = await program.event("ready", about("there"), mark);
      expect(ready).toMatchObject({ kind: "connect", name: "box" });
      await program.event("ready", about("box"), mark);
      expect((await visit(at(portOf(ready)))).text).toBe("two");
      expect(await program.stop()).toBe(0);
    },
    testLimitMs,
  );
});
