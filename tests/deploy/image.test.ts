import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import manifest from "../../package.json" with { type: "json" };
import { parseRelayCommand } from "../../relay/command-line.ts";
import { freePort } from "../blackbox/programs/free-port.ts";
import { Program } from "../blackbox/programs/program.ts";
import { run } from "../blackbox/programs/run.ts";
import { startAgent } from "../blackbox/programs/tunnel.ts";
import { RawOrigin } from "../blackbox/raw/origin.ts";
import { Visitor, visit } from "../blackbox/raw/visitor.ts";
import { addEngineFiles, buildImage, type Image } from "./image/build-image.ts";
import { type ChrootOptions, chrootRefusal, inChroot } from "./image/chroot.ts";
import { readDockerfile } from "./image/dockerfile.ts";

const testLimitMs = 120_000;
const file = "deploy/Dockerfile";

describe("the reader of Dockerfiles", () => {
  test.each([
    "FROM a\nADD x /x",
    "FROM a\nRUN --mount=type=cache,target=/x true",
    'FROM a\nRUN ["true"]',
    "FROM a\nCOPY --chmod=755 x /x",
    "FROM a\nCOPY $X /x",
    "FROM a\nENTRYPOINT relay",
    "FROM a\nHEALTHCHECK CMD relay health",
    "FROM a\nHEALTHCHECK NONE",
    "FROM a\nUSER nobody",
    "FROM --platform=linux/amd64 a",
    "COPY x /x",
  ])("obeys or refuses, and passes nothing over: %j", (text) => {
    expect(() => readDockerfile(text)).toThrow();
  });
});

test("the image is built with the Bun that the project pins", async () => {
  const [build] = readDockerfile(await readFile(join(import.meta.dir, "../..", file), "utf8"));
  expect(build?.base).toBe(`oven/bun:${manifest.devDependencies.bun}-slim`);
});

const title = chrootRefusal === undefined ? "the image" : `the image (skipped: ${chrootRefusal})`;

describe.skipIf(chrootRefusal !== undefined)(title, () => {
  let folder: string;
  let image: Image;
  let data: string;
  let env: Record<string, string>;
  let container: Program;
  let containerPid: number;

  /** What runs `args` in the container as its engine would: its user, its root read-only, its volume, its variables. */
  const inside = (args: readonly string[], more: Partial<ChrootOptions> = {}): string[] => {
    const mounts = [{ from: data, to: "/data" }];
    const { user } = image.config;
    return inChroot({ root: image.root, user, env, mounts, readOnly: true, ...more }, args);
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "underpass-image-"));
    image = await buildImage(file, folder);
    await addEngineFiles(image.root, "127.0.0.1 localhost\n192.0.2.7 service.test\n");
    data = join(folder, "volume");
    // A new volume begins as what the image has at its place.
    await run(["cp", "--archive", join(image.root, "data"), data], { limitMs: testLimitMs });
    const port = await freePort();
    env = { ...image.config.env, UNDERPASS_LISTEN: `127.0.0.1:${port}` };
    container = new Program(inside([...image.config.entrypoint, "--json"], { first: true }));
    await container.event("listening");
    const children = await readFile(`/proc/${container.pid}/task/${container.pid}/children`, "utf8");
    containerPid = Number(children.trim());
  }, testLimitMs);
  afterAll(async () => {
    await container?.kill();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  const health = async (): Promise<number> => {
    const asked = new Program(inside(image.config.health));
    return asked.exit();
  };

  test("holds one program, what the C library needs for it, and no shell", async () => {
    const files = await readdir(image.root, { recursive: true, withFileTypes: true });
    const made = files.filter((entry) => entry.isFile() && !entry.parentPath.endsWith("/etc"));
    const found = made.map(({ name }) => name);
    const libraries = found.filter((name) => /^(?:lib\w+|ld-linux[\w-]*)\.so\.\d+$/.test(name));
    expect(found.filter((name) => !libraries.includes(name))).toEqual(["underpass-relay"]);
  });

  test("listens where its port is exposed, and keeps its data where its volume is", () => {
    const { config } = image;
    const parsed = parseRelayCommand([], config.env, "");
    if (parsed.command !== "serve") throw new Error(parsed.command);
    const { listen, data: kept, dataAsked } = parsed.options;
    expect({ ports: config.ports, listen }).toEqual({
      ports: [8787],
      listen: { host: "0.0.0.0", port: 8787 },
    });
    expect([config.volumes, kept, dataAsked]).toEqual([["/data"], "/data", true]);
    expect(config.stopSignal).toBe("SIGTERM");
    const asked = parseRelayCommand(config.health.slice(1), config.env, "");
    expect(asked).toMatchObject({
      command: "health",
      options: { host: "127.0.0.1", port: 8787, scheme: "http" },
    });
  });

  test("runs as process 1 of a user of its own without any right, on a root that can't be written", async () => {
    const status = await readFile(`/proc/${containerPid}/status`, "utf8");
    expect(status).toMatch(/^Uid:\t10001\t10001\t10001\t10001$/m);
    expect(status).toMatch(/^Gid:\t10001\t10001\t10001\t10001$/m);
    expect(status).toMatch(/^NSpid:\t\d+\t1$/m);
    expect(status).toMatch(/^CapEff:\t0+$/m);
    const roots = (await readFile(`/proc/${containerPid}/mountinfo`, "utf8")).split("\n");
    expect(roots.find((line) => line.split(" ")[4] === "/")).toMatch(/ ro[ ,]/);
    expect((await stat(join(data, "secret"))).uid).toBe(10_001);
  });

  test("looks names up, for egress", async () => {
    const look = 'require("dns").lookup("service.test", (_, found) => console.log(found))';
    // A binary that Bun made is Bun itself when it is told so.
    const looked = new Program(inside(["/underpass-relay", "-e", look], { env: { BUN_BE_BUN: "1" } }));
    expect([await looked.exit(), looked.stdout]).toEqual([0, "192.0.2.7\n"]);
  });

  test(
    "is healthy, and serves a tunnel with a token that was made in it",
    async () => {
      expect(await health()).toBe(0);
      const minted = new Program(inside(["/underpass-relay", "token", "--sub", "me"]));
      expect(await minted.exit()).toBe(0);
      const origin = await RawOrigin.listen();
      const url = `http://${env["UNDERPASS_LISTEN"]}`;
      const relay = { url } as Parameters<typeof startAgent>[0];
      const agent = await startAgent(relay, {
        origin: origin.port,
        name: "blue",
        token: minted.stdout.trim(),
      });
      const port = Number(new URL(url).port);
      expect((await visit({ port, host: "blue.localhost" })).text).toBe("ok");
      await agent.stop();
      await origin.close();
    },
    testLimitMs,
  );

  test(
    "ends in order at its stop signal, after what is open, and is unhealthy then",
    async () => {
      const port = Number(env["UNDERPASS_LISTEN"]?.split(":")[1]);
      using visitor = await Visitor.connect({ port, host: "127.0.0.1" });
      await visitor.send("GET /healthz HTTP/1.1\r\nHost: HOST\r\n\r\n");
      await (await visitor.answer()).body.text();
      process.kill(containerPid, image.config.stopSignal);
      await container.output((_, stderr) => stderr.includes("Stopping"));
      visitor.close();
      expect(await container.exit()).toBe(0);
      expect(await health()).toBe(1);
    },
    testLimitMs,
  );
});
