import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { absent } from "./programs/installed.ts";
import type { Program } from "./programs/program.ts";
import { type Relay, startRelay } from "./programs/relay.ts";
import { startAgentOf } from "./programs/tcp-tunnel.ts";
import { difference, digest, plantFile, plantTree, workOnTree } from "./real/files.ts";
import { Sshd } from "./real/sshd.ts";

const testLimitMs = 60_000;
const copyLimitMs = 50_000;
const missing = absent("sshd", "ssh", "ssh-keygen", "scp", "rsync", "diff");

// How fast it is beside ssh without the tunnel is told by tests/soak/ssh.test.ts.
describe.skipIf(missing !== "")(
  `ssh with \`connect --stdio\` as its ProxyCommand${missing && ` (absent: ${missing})`}`,
  () => {
    let sshd: Sshd;
    let relay: Relay;
    let agent: Program;
    let folder: string;

    beforeAll(async () => {
      sshd = await Sshd.start();
      ({ folder } = sshd);
      relay = await startRelay();
      const token = await relay.token({ connect: ["box"] });
      agent = (await startAgentOf(relay, token, ["private", String(sshd.port), "--name", "box"])).program;
      await sshd.knowTunnel("box", relay.url, token);
    }, testLimitMs);
    afterAll(async () => {
      await agent?.kill();
      await relay?.kill();
      await sshd?.stop();
    });

    test(
      "runs a command there, which gets all that is said to it and says all that it has to say",
      async () => {
        const stdin = "line of input\n".repeat(50_000);
        const command = "cat; echo done; echo on stderr >&2";
        const { stdout, stderr } = await sshd.ssh("box", command, { stdin, limitMs: copyLimitMs });
        expect(stdout).toBe(`${stdin}done\n`);
        expect(stderr).toBe("on stderr\n");
      },
      testLimitMs,
    );

    test(
      "runs five commands at once, each over a pipe of its own",
      async () => {
        const run = async (i: number) =>
          (await sshd.ssh("box", `echo ${i}`, { limitMs: copyLimitMs })).stdout.trim();
        const numbers = Array.from({ length: 5 }, (_, i) => i);
        expect(await Promise.all(numbers.map(run))).toEqual(numbers.map(String));
      },
      testLimitMs,
    );

    test(
      "copies 64 MiB there and back by scp",
      async () => {
        const [from, there, back] = ["from", "there", "back"].map((name) => join(folder, name));
        if (from === undefined || there === undefined || back === undefined) return;
        await plantFile(from, 64);
        await sshd.scp("box", from, `box:${there}`, copyLimitMs);
        await sshd.scp("box", `box:${there}`, back, copyLimitMs);
        const right = await digest(from);
        expect([await digest(there), await digest(back)]).toEqual([right, right]);
      },
      testLimitMs,
    );

    test(
      "keeps a folder of 500 files in step by rsync, both ways",
      async () => {
        const [mine, theirs, copy] = [join(folder, "mine"), join(folder, "theirs"), join(folder, "copy")];
        await mkdir(mine);
        await plantTree(mine, 500);
        await sshd.rsync("box", mine, `box:${theirs}`, copyLimitMs);
        expect(await difference(mine, theirs)).toBe("");
        await workOnTree(mine);
        expect(await difference(mine, theirs)).not.toBe("");
        await sshd.rsync("box", mine, `box:${theirs}`, copyLimitMs);
        await sshd.rsync("box", `box:${theirs}`, copy, copyLimitMs);
        expect([await difference(mine, theirs), await difference(mine, copy)]).toEqual(["", ""]);
      },
      testLimitMs,
    );
  },
);
