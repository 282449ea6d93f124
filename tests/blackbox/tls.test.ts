import { expect, test } from "bun:test";
import { readFile, rm } from "node:fs/promises";
import { makeCertificate } from "./origins/tls.ts";
import { agentProgram } from "./programs/agent.ts";
import { installed } from "./programs/installed.ts";
import { relayProgram } from "./programs/relay.ts";
import { answerOk, RawOrigin } from "./raw/origin.ts";

const testLimitMs = 60_000;

test.skipIf(!installed("openssl"))(
  "with a certificate the relay speaks https to visitors and wss to agents, and origins are told so",
  async () => {
    const { folder, key, cert } = await makeCertificate();
    const origin = await RawOrigin.listen(answerOk);
    const secret = "a secret of at least 32 bytes, or more";
    const relay = relayProgram(
      ["--json", "--listen", "127.0.0.1:0", "--data", folder, "--tls-cert", cert, "--tls-key", key],
      {
        env: { UNDERPASS_SECRET: secret },
      },
    );
    const url = String((await relay.event("listening"))["url"]);
    expect(url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
    const token = relayProgram(["token", "--sub", "me"], { env: { UNDERPASS_SECRET: secret } });
    await token.exit();
    const agent = agentProgram(["--port", String(origin.port), "--relay", url, "--name", "blue", "--json"], {
      env: { UNDERPASS_TOKEN: token.stdout.trim(), NODE_EXTRA_CA_CERTS: cert },
    });
    const ready = await agent.event("ready");
    expect(ready["url"]).toMatch(/^https:\/\/blue\.localhost:\d+$/);
    const answer = await fetch(`${url}/~blue/`, { tls: { ca: await readFile(cert, "utf8") } });
    expect([answer.status, await answer.text()]).toEqual([200, "ok"]);
    // The certificate is not for what a machine calls itself.
    const health = relayProgram(["health", "--listen", new URL(url).host, "--tls-cert", cert]);
    expect([await health.exit(), health.stdout, health.stderr]).toEqual([0, "", ""]);
    expect(origin.exchanges[0]?.head.field("X-Forwarded-Proto")).toBe("https");
    await agent.stop();
    await relay.stop();
    await origin.close();
    await rm(folder, { recursive: true, force: true });
  },
  testLimitMs,
);

test.skipIf(!installed("openssl"))(
  "a key that is another certificate's is told at the start: exit 2 with one line",
  async () => {
    const [own, other] = await Promise.all([makeCertificate(), makeCertificate()]);
    const pair = ["--tls-cert", own.cert, "--tls-key", other.key];
    const relay = relayProgram(["--listen", "127.0.0.1:0", "--data", own.folder, ...pair]);
    expect(await relay.exit()).toBe(2);
    expect(relay.stderr).toMatch(/^relay: --tls-key: .*\n$/);
    for (const { folder } of [own, other]) await rm(folder, { recursive: true, force: true });
  },
  testLimitMs,
);
