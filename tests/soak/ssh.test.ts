import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { absent } from "../blackbox/programs/installed.ts";
import type { Program } from "../blackbox/programs/program.ts";
import { type Relay, startRelay } from "../blackbox/programs/relay.ts";
import { startAgentOf } from "../blackbox/programs/tcp-tunnel.ts";
import { difference, digest, plantFile, plantTree } from "../blackbox/real/files.ts";
import { Sshd } from "../blackbox/real/sshd.ts";
import { Figures } from "./figures.ts";
import { compare } from "./rounds.ts";

const testLimitMs = 600_000;
const mebibytes = 1024;
const fileCount = 3_000;
const missing = absent("sshd", "ssh", "ssh-keygen", "scp", "rsync", "diff");
const figures = new Figures();

describe.skipIf(missing !== "")(
  `with \`connect --stdio\` as the ProxyCommand of ssh${missing && ` (absent: ${missing})`}`,
  () => {
    let sshd: Sshd;
    let relay: Relay;
    let agent: Program;
    let folder: string;
    let from: string;
    let right: string;

    beforeAll(async () => {
      sshd = await Sshd.start();
      ({ folder } = sshd);
      from = join(folder, "from");
      await plantFile(from, mebibytes);
      right = await digest(from);
      relay = await startRelay();
      const token = await relay.token({ connect: ["box"] });
      const args = ["private", String(sshd.port), "--name", "box", "--quiet"];
      agent = (await startAgentOf(relay, token, args)).program;
      await sshd.knowTunnel("box", relay.url, token);
    }, testLimitMs);
    afterAll(async () => {
      figures.print();
      await agent?.kill();
      await relay?.kill();
      await sshd?.stop();
    });

    test.each([
      ["up", (host: string, to: string): [string, string] => [from, `${host}:${to}`]],
      ["down", (host: string, to: string): [string, string] => [`${host}:${from}`, to]],
    ])(
      "scp of 1 GiB %s, beside scp without it: every copy has the same hash",
      async (name, paths) => {
        const copy = async (host: string): Promise<number> => {
          const to = join(folder, "copy");
          const sinceMs = performance.now();
          await sshd.scp(host, ...paths(host, to), testLimitMs);
          const seconds = (performance.now() - sinceMs) / 1_000;
          expect(await digest(to)).toBe(right);
          await rm(to);
          return mebibytes / seconds;
        };
        await compare(figures, `scp of 1 GiB ${name}`, "MiB/s", {
          direct: () => copy("direct"),
          tunnel: () => copy("box"),
        });
      },
      testLimitMs,
    );

    test(
      "rsync of 3,000 files, beside rsync without it: diff finds nothing",
      async () => {
        const tree = join(folder, "tree");
        await mkdir(tree);
        await plantTree(tree, fileCount);
        const copy = async (host: string): Promise<number> => {
          const to = join(folder, "tree-copy");
          const sinceMs = performance.now();
          await sshd.rsync(host, tree, `${host}:${to}`, testLimitMs);
          const seconds = (performance.now() - sinceMs) / 1_000;
          expect(await difference(tree, to)).toBe("");
          await rm(to, { recursive: true });
          return fileCount / seconds;
        };
        await compare(figures, "rsync of a tree", "files/s", {
          direct: () => copy("direct"),
          tunnel: () => copy("box"),
        });
      },
      testLimitMs,
    );
  },
);
