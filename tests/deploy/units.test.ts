import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../blackbox/programs/free-port.ts";
import { Program } from "../blackbox/programs/program.ts";
import { projectRoot } from "../blackbox/programs/relay.ts";
import { run } from "../blackbox/programs/run.ts";
import { RawOrigin } from "../blackbox/raw/origin.ts";
import { visit } from "../blackbox/raw/visitor.ts";
import { Machine, machineRefusal } from "./systemd/machine.ts";

const testLimitMs = 120_000;
const [relay, agent] = ["underpass-relay.service", "underpass-agent.service"] as const;
const unit = (name: string): Promise<string> => readFile(join(projectRoot, "deploy", name), "utf8");
const secret = "a secret of at least 32 bytes, or more";
const title = machineRefusal === undefined ? "under systemd" : `under systemd (skipped: ${machineRefusal})`;

describe.skipIf(machineRefusal !== undefined)(title, () => {
  let machine: Machine;
  let origin: RawOrigin;
  let folder: string;
  let port: number;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "underpass-units-"));
    const builds = [
      ["relay/runtimes/bun-program.ts", "underpass-relay"],
      ["agent.ts", "underpass"],
    ] as const;
    for (const [entry, name] of builds)
      await run(
        [process.execPath, "build", "--compile", join(projectRoot, entry), `--outfile=${join(folder, name)}`],
        {
          limitMs: testLimitMs,
        },
      );
    origin = await RawOrigin.listen();
    port = await freePort();
    const minted = new Program([process.execPath, join(projectRoot, "relay.ts"), "token", "--sub", "me"], {
      env: { UNDERPASS_SECRET: secret },
    });
    expect(await minted.exit()).toBe(0);
    machine = await Machine.boot({
      services: { [relay]: await unit(relay), [agent]: await unit(agent) },
      settings: {
        secret: `${secret}\n`,
        "relay.env": `UNDERPASS_LISTEN=127.0.0.1:${port}\nUNDERPASS_JSON=1\n`,
        token: minted.stdout,
        "underpass.yaml": `relay: http://127.0.0.1:${port}\ntunnels:\n  blue:\n    http: ${origin.port}\n`,
      },
      programs: builds.map(([, name]) => join(folder, name)),
    });
  }, testLimitMs);
  afterAll(async () => {
    await machine?.close();
    await origin?.close();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  test.each([relay, agent])(
    "`systemd-analyze` has nothing to say of %s, and rates its exposure as low",
    async (name) => {
      const verified = await machine.run("systemd-analyze", "verify", name);
      expect([verified.stdout, verified.stderr]).toEqual(["", ""]);
      const file = `/usr/lib/systemd/system/${name}`;
      // In tenths: fails where there is more.
      await machine.run("systemd-analyze", "security", "--offline=true", "--threshold=15", file);
    },
  );

  test(
    "a relay and an agent serve visitors, each in its sandbox",
    async () => {
      await machine.systemctl("start", relay);
      await machine.log(relay).event("listening");
      await machine.systemctl("start", agent);
      await machine.log(agent).output((stdout) => stdout.includes("blue"));
      expect((await visit({ port, host: "blue.localhost" })).text).toBe("ok");
      for (const name of [relay, agent]) {
        const pid = await machine.mainPid(name);
        const status = await readFile(`/proc/${pid}/status`, "utf8");
        expect(status).toMatch(/^Uid:\t6\d{4}\t/m);
        for (const line of ["CapEff:\t0+", "CapBnd:\t0+", "NoNewPrivs:\t1", "Seccomp:\t2"])
          expect(status).toMatch(new RegExp(`^${line}$`, "m"));
        const mounts = (await readFile(`/proc/${pid}/mountinfo`, "utf8")).split("\n");
        const rights = new Map(mounts.map((line) => [line.split(" ")[4], line.split(" ")[5]?.split(",")[0]]));
        expect([rights.get("/"), rights.get("/usr/local/bin"), rights.get("/tmp")]).toEqual([
          "ro",
          "ro",
          "rw",
        ]);
      }
    },
    testLimitMs,
  );

  test(
    "a relay that is killed comes back with its names, and the agent by itself",
    async () => {
      const { mark } = machine.log(relay);
      await machine.systemctl("kill", "--signal=KILL", relay);
      await machine.log(relay).event("listening", () => true, mark);
      // Held until the agent is back: the name is known to be the agent's.
      expect((await visit({ port, host: "blue.localhost" })).text).toBe("ok");
      expect(await machine.show(relay, "NRestarts")).toBe("1");
    },
    testLimitMs,
  );

  test(
    "a stop is in order, and takes no longer than what is open",
    async () => {
      for (const name of [agent, relay]) {
        await machine.systemctl("stop", name);
        const shown = await Promise.all(
          ["ActiveState", "Result", "ExecMainStatus"].map((property) => machine.show(name, property)),
        );
        expect(shown).toEqual(["inactive", "success", "0"]);
      }
      expect(machine.log(relay).stdout).toContain("Stopping");
    },
    testLimitMs,
  );

  test.each([
    [relay, "relay.env", "UNDERPASS_MEMORY=much\n", "2"],
    [agent, "underpass.yaml", "relay: nowhere\n", "2"],
  ])(
    "%s with a mistake in %s is not started again and again, but as often as it is asked for",
    async (name, file, text, status) => {
      await machine.write(file, text);
      await machine.startsInVain(name);
      const shown = await Promise.all(
        ["ActiveState", "ExecMainStatus", "NRestarts"].map((property) => machine.show(name, property)),
      );
      expect(shown).toEqual(["failed", status, "0"]);
      // systemd's own limit is five starts in ten seconds, and then none until somebody comes.
      for (let start = 0; start < 6; start++) await machine.startsInVain(name);
    },
    testLimitMs,
  );
});
