import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { startTls } from "../blackbox/origins/tls.ts";
import { installed } from "../blackbox/programs/installed.ts";
import { NodeService } from "../origins/places.ts";
import { limitMs, ProxyHarness } from "./proxy-harness.ts";

const curl = installed("curl");
const size = 5_000_000;
const large = Buffer.alloc(size, "the quick brown fox ");
const sum = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

let service: NodeService;
let tls: { port: number; close(): Promise<void> };
let harness: ProxyHarness;
let guarded: ProxyHarness;

beforeAll(async () => {
  service = await NodeService.listen((request, response) => {
    const hash = createHash("sha256");
    request.on("data", (chunk: Buffer) => hash.update(chunk));
    request.on("end", () => {
      if (request.url === "/large") response.end(large);
      else response.end(`${request.method} ${request.headers.host}${request.url} ${hash.digest("hex")}\n`);
    });
  });
  tls = await startTls();
  harness = await ProxyHarness.start();
  guarded = await ProxyHarness.start({ credentials: { user: "me", password: "se cret" } });
  for (const { caller } of [harness, guarded]) {
    caller.routes.set("one.test:80", Number(service.target.port));
    caller.routes.set("two.test:80", Number(service.target.port));
    caller.routes.set("secure.test:443", tls.port);
    caller.refusals.set("denied.test:80", "egress-denied");
    caller.refusals.set("denied.test:443", "egress-denied");
    caller.refusals.set("closed.test:80", "origin-refused");
  }
});

afterAll(async () => {
  await harness[Symbol.asyncDispose]();
  await guarded[Symbol.asyncDispose]();
  await service[Symbol.asyncDispose]();
  await tls.close();
});

/** What curl printed, and its exit code. Settings of this machine's user are left out. */
async function run(...args: readonly string[]): Promise<{ out: string; error: string; exit: number }> {
  const child = Bun.spawn([curl ?? "", "-q", "-sS", "--max-time", "15", "--noproxy", "", ...args], {
    stdout: "pipe",
    stderr: "pipe",
    env: {},
  });
  const [out, error] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { out, error, exit: await child.exited };
}

describe.skipIf(curl === undefined)("curl", () => {
  /** The ways in, for `http://`. */
  const ways: readonly (readonly [string, readonly string[]])[] = [
    ["--socks5-hostname", ["--socks5-hostname", "PROXY"]],
    ["--socks4a", ["--socks4a", "PROXY"]],
    ["-x socks5h://user:pass@", ["-x", "socks5h://any:thing@PROXY"]],
    ["-x http://", ["-x", "http://PROXY"]],
    ["-x http:// -p", ["-p", "-x", "http://PROXY"]],
    ["-x http:// in HTTP/1.0", ["-0", "-x", "http://PROXY"]],
  ];
  for (const [name, args] of ways) {
    const through = (...more: readonly string[]) =>
      run(...args.map((arg) => arg.replace("PROXY", harness.url)), ...more);

    test(
      `${name}: GET, large GET, uploads of both framings, and two hosts in one run`,
      async () => {
        const nothing = sum(Buffer.alloc(0));
        const one = await through("http://one.test/a", "http://two.test/b?c=%20", "http://one.test/d");
        expect(one).toEqual({
          out: `GET one.test/a ${nothing}\nGET two.test/b?c=%20 ${nothing}\nGET one.test/d ${nothing}\n`,
          error: "",
          exit: 0,
        });
        const down = await through("http://one.test/large");
        expect(sum(Buffer.from(down.out))).toBe(sum(large));
        const file = `${import.meta.dir}/proxy-curl.test.ts`;
        const fileSum = sum(await Bun.file(file).bytes());
        expect((await through("-T", file, "http://one.test/up")).out).toBe(`PUT one.test/up ${fileSum}\n`);
        if (!args.includes("-0")) {
          const chunked = ["-H", "Transfer-Encoding: chunked", "-H", "Expect: 100-continue"];
          const sent = await through(...chunked, "--data-binary", `@${file}`, "http://one.test/up");
          expect(sent.out).toBe(`POST one.test/up ${fileSum}\n`);
        }
        const expecting = await through(
          "-H",
          "Expect: 100-continue",
          "--data-binary",
          `@${file}`,
          "http://one.test/up",
        );
        expect(expecting.out).toBe(`POST one.test/up ${fileSum}\n`);
      },
      limitMs,
    );
  }

  test("--socks5 with an address", async () => {
    const { out } = await run("--socks5", harness.url, `http://127.0.0.1:${service.target.port}/x`);
    expect(out).toStartWith(`GET 127.0.0.1:${service.target.port}/x `);
  });

  test("https by CONNECT and by SOCKS", async () => {
    for (const way of [
      ["-x", `http://${harness.url}`],
      ["--socks5-hostname", harness.url],
    ])
      expect(await run("-k", ...way, "https://secure.test/")).toEqual({ out: "by TLS", error: "", exit: 0 });
  });

  test("keeps one socket to the HTTP proxy for requests to two hosts", async () => {
    const made = ["-o", "/dev/null", "-o", "/dev/null", "-w", "%{num_connects} "];
    const { out } = await run(
      ...made,
      "-x",
      `http://${harness.url}`,
      "http://one.test/a",
      "http://two.test/b",
    );
    expect(out).toBe("1 0 ");
  });

  test("with the right user and password, and without", async () => {
    const url = "http://one.test/a";
    for (const scheme of ["socks5h", "http"]) {
      const right = await run("-x", `${scheme}://me:se%20cret@${guarded.url}`, url);
      expect([right.exit, right.out.slice(0, 15)]).toEqual([0, "GET one.test/a "]);
      const asked = await run(
        "--proxy-anyauth",
        "-x",
        `http://me:se%20cret@${guarded.url}`,
        "-d",
        "body",
        url,
      );
      expect(asked.out).toBe(`POST one.test/a ${sum(Buffer.from("body"))}\n`);
      for (const userinfo of ["", "me:wrong@"]) {
        const wrong = await run(
          "-w",
          "%{http_code}",
          "-o",
          "/dev/null",
          "-x",
          `${scheme}://${userinfo}${guarded.url}`,
          url,
        );
        expect([wrong.exit, wrong.out]).toEqual(scheme === "http" ? [0, "407"] : [97, "000"]);
      }
    }
    const connect = await run("-k", "-x", `http://me:se%20cret@${guarded.url}`, "https://secure.test/");
    expect(connect.out).toBe("by TLS");
    const refused = await run("-k", "-x", `http://${guarded.url}`, "https://secure.test/");
    expect([refused.exit, refused.error]).toEqual([56, expect.stringContaining("407")]);
  });

  test("is told what went wrong", async () => {
    const http = await run("-i", "-x", `http://${harness.url}`, "http://denied.test/");
    expect(http.out).toStartWith("HTTP/1.1 403 Forbidden\r\nUnderpass-Error: egress-denied\r\n");
    const connect = await run("-x", `http://${harness.url}`, "https://denied.test/");
    expect([connect.exit, connect.error]).toEqual([56, expect.stringContaining("403")]);
    const denied = await run("--socks5-hostname", harness.url, "http://denied.test/");
    expect([denied.exit, denied.error]).toEqual([97, expect.stringContaining("(2)")]);
    const closed = await run("--socks5-hostname", harness.url, "http://closed.test/");
    expect([closed.exit, closed.error]).toEqual([97, expect.stringContaining("(5)")]);
    const page = await run(`http://${harness.url}/`);
    expect(page.out).toContain("This port is a proxy");
  });
});
