import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Ongoing } from "./ongoing.ts";
import { agentCommand } from "./programs/agent.ts";
import { about, ConfigFolder } from "./programs/config-folder.ts";
import { freePort } from "./programs/free-port.ts";
import type { ProgramEvent } from "./programs/program.ts";
import { type Relay, relayRuntime, startRelay } from "./programs/relay.ts";
import { startPortRelay } from "./programs/tcp-tunnel.ts";
import { answerText } from "./raw/answer-text.ts";
import { RawOrigin } from "./raw/origin.ts";
import { Visitor, visit } from "./raw/visitor.ts";

const testLimitMs = 60_000;

let one: RawOrigin;
let two: RawOrigin;

beforeAll(async () => {
  one = await RawOrigin.listen(answerText("one"));
  two = await RawOrigin.listen(answerText("two"));
}, testLimitMs);
afterAll(async () => {
  await one?.close();
  await two?.close();
});

/** Of this machine, without a tunnel's name. */
const at = (port: number) => ({ port, host: `127.0.0.1:${port}` });
const portOf = (event: ProgramEvent) => Number(new URL(String(event["url"])).port);

describe("a file that changes", () => {
  let relay: Relay;
  let folder: ConfigFolder;
  beforeAll(async () => {
    relay = await startRelay();
    folder = await ConfigFolder.make(relay);
  }, testLimitMs);
  afterEach(() => folder.killAll());
  afterAll(async () => {
    await folder?.close();
    await relay?.kill();
  });
  const target = (name: string) => ({ port: relay.port, host: relay.hostFor(name) });

  test(
    "SIGHUP: what did not change is not touched, what changed finishes its exchanges, the rest comes and goes",
    async () => {
      const agent = await folder.started("hup.yaml", { keep: one.port, move: one.port, leave: one.port });
      await agent.event("link", (event) => about("keep")(event) && event["link"] === 1);
      using kept = await Ongoing.start(target("keep"), one);
      using moved = await Ongoing.start(target("move"), one);
      const { mark } = agent;
      const [stay, other] = [`keep: {http: ${one.port}}`, `{http: ${two.port}}`];
      // The watch sees it too: whichever comes first, both must come to the same.
      await writeFile(folder.file("hup.yaml"), folder.tunnels(stay, `move: ${other}`, `come: ${other}`));
      agent.signal("SIGHUP");
      await agent.event("ready", about("move"), mark);
      await agent.event("ready", about("come"), mark);
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
      const touched = agent.events.slice(mark).filter(about("keep"));
      expect(touched.filter(({ event }) => event !== "request")).toEqual([]);
      expect(agent.events.filter(({ event }) => event === "error")).toEqual([]);
      expect(await agent.stop()).toBe(0);
    },
    testLimitMs,
  );

  test(
    "SIGHUP without a change is told, and in a terminal it is not the window's end",
    async () => {
      await folder.put("terminal.yaml", folder.tunnels(`shown: {http: ${one.port}}`));
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
      const agent = Bun.spawn(agentCommand(["start", "--config", folder.file("terminal.yaml")]), {
        terminal,
      });
      const until = async (part: string) => {
        while (!Bun.stripANSI(screen).includes(part)) await more.promise;
      };
      await until(`http://shown.localhost:${relay.port}`);
      agent.kill("SIGHUP");
      await until("read again");
      agent.kill("SIGINT");
      expect(await agent.exited).toBe(0);
      terminal.close();
    },
    testLimitMs,
  );

  test(
    "no visitor of a tunnel that changes is refused",
    async () => {
      const agent = await folder.started("busy.yaml", { busy: one.port });
      const { mark } = agent;
      const answers = new Set<string>();
      let asking = true;
      const ask = async () => {
        const { status, text } = await visit(target("busy"));
        answers.add(`${status} ${text}`);
      };
      const visitors = Array.from({ length: 4 }, async () => {
        while (asking) await ask();
      });
      await folder.put("busy.yaml", folder.tunnels(`busy: {http: ${two.port}}`));
      await agent.event("ready", about("busy"), mark);
      await ask();
      asking = false;
      await Promise.all(visitors);
      expect([...answers].sort()).toEqual(["200 one", "200 two"]);
    },
    testLimitMs,
  );

  test(
    "what listens at a port of this machine is changed there, and what it carries goes on",
    async () => {
      const port = await freePort();
      const file = (to: number) => `forward: {plain: {listen: "127.0.0.1:${port}", to: ${to}}}`;
      const rest = Promise.withResolvers<void>();
      const slow = await RawOrigin.listen(async (exchange) => {
        await exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nbeg");
        await rest.promise;
        await exchange.send("end");
      });
      const agent = await folder.start("forward.yaml", file(slow.port));
      await agent.event("ready", about("plain"));
      using visitor = await Visitor.connect(at(port));
      await visitor.send("GET / HTTP/1.1\r\nHost: HOST\r\n\r\n");
      const { body } = await visitor.answer();
      const { mark } = agent;
      await folder.put("forward.yaml", file(two.port));
      await agent.event("ready", about("plain"), mark);
      expect((await visit(at(port))).text).toBe("two");
      rest.resolve();
      expect(await body.text()).toBe("begend");
      await slow.close();
    },
    testLimitMs,
  );

  test(
    "is seen: another file in its place, written in place, and a link beside it that is swapped",
    async () => {
      const mounted = folder.file("mounted");
      const file = ({ port }: RawOrigin) => folder.tunnels(`seen: {http: ${port}}`);
      const version = async (name: string, origin: RawOrigin) => {
        await mkdir(join(mounted, name), { recursive: true });
        await writeFile(join(mounted, name, "u.yaml"), file(origin));
        await symlink(name, join(mounted, "..new"));
        await rename(join(mounted, "..new"), join(mounted, "..data"));
      };
      await version("..1", one);
      await symlink("..data/u.yaml", join(mounted, "u.yaml"));
      const agent = folder.run("start", "--config", "mounted/u.yaml", "--json");
      await agent.event("ready");
      const change = async (how: () => Promise<void>, answer: string) => {
        const { mark } = agent;
        await how();
        await agent.event("ready", () => true, mark);
        expect((await visit(target("seen"))).text).toBe(answer);
      };
      await change(() => version("..2", two), "two");
      await change(() => version("..3", one), "one");
      await change(() => writeFile(join(mounted, "..3", "u.yaml"), file(two)), "two");
      await change(() => folder.put("mounted/u.yaml", file(one)), "one");
      expect(agent.events.filter(({ event }) => event === "error")).toEqual([]);
    },
    testLimitMs,
  );

  test(
    "broken, it is told in one line, and what runs goes on; mended, it counts",
    async () => {
      const agent = await folder.started("broken.yaml", { whole: one.port });
      const path = folder.file("broken.yaml");
      const told = async (change: () => Promise<void>): Promise<ProgramEvent> => {
        const { mark } = agent;
        await change();
        return await agent.event("error", () => true, mark);
      };
      const broken = folder.tunnels("whole: {http: 0}", "other: {htp: 1}");
      expect(await told(() => folder.put("broken.yaml", broken))).toMatchObject({
        ...{ code: "usage", fatal: false },
        message: `${path}:4: tunnels.whole.http: give a whole number from 1 to 65535. (and 2 more) What runs goes on as it was.`,
      });
      expect((await told(() => rm(path)))["message"]).toContain("can't be read");
      expect((await visit(target("whole"))).text).toBe("one");
      const { mark } = agent;
      await folder.put("broken.yaml", folder.tunnels(`whole: {http: ${two.port}}`));
      await agent.event("ready", about("whole"), mark);
      expect((await visit(target("whole"))).text).toBe("two");
      expect(await agent.stop()).toBe(0);
    },
    testLimitMs,
  );
});

// A relay in workerd has no public ports (docs/kinds.md).
describe.skipIf(relayRuntime === "workerd")("a file with tunnels of other kinds", () => {
  let relay: Relay;
  let folder: ConfigFolder;
  beforeAll(async () => {
    relay = await startPortRelay();
    folder = await ConfigFolder.make(relay, { connect: ["box"] });
  }, testLimitMs);
  afterEach(() => folder.killAll());
  afterAll(async () => {
    await folder?.close();
    await relay?.kill();
  });

  test(
    "a tcp tunnel changes its origin and keeps its public port, and an open visitor what he has",
    async () => {
      const agent = await folder.start("tcp.yaml", folder.tunnels(`db: {tcp: ${one.port}}`));
      const port = portOf(await agent.event("ready"));
      using visitor = await Visitor.connect(at(port));
      const ask = async (): Promise<string> => {
        await visitor.send("GET / HTTP/1.1\r\nHost: HOST\r\n\r\n");
        return await (await visitor.answer()).body.text();
      };
      expect(await ask()).toBe("one");
      const { mark } = agent;
      await folder.put("tcp.yaml", folder.tunnels(`db: {tcp: ${two.port}}`));
      expect(portOf(await agent.event("ready", () => true, mark))).toBe(port);
      expect((await visit(at(port))).text).toBe("two");
      expect(await ask()).toBe("one");
    },
    testLimitMs,
  );

  test(
    "a tunnel changes its kind under its name, and what connects to it is in the same file",
    async () => {
      const agent = await folder.started("kind.yaml", { box: one.port });
      const { mark } = agent;
      const connect = `connect: {there: {listen: "127.0.0.1:0", name: box}}`;
      await folder.put("kind.yaml", folder.text(`tunnels: {box: {private: ${two.port}}}`, connect));
      const ready = await agent.event("ready", about("there"), mark);
      expect(ready).toMatchObject({ kind: "connect", name: "box" });
      await agent.event("ready", about("box"), mark);
      expect((await visit(at(portOf(ready)))).text).toBe("two");
      expect(await agent.stop()).toBe(0);
    },
    testLimitMs,
  );
});
