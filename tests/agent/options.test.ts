import { describe, expect, test } from "bun:test";
import { CommandLine } from "../../agent/command-line.ts";
import { type AgentOptions, checkOptions } from "../../agent/options.ts";
import { type Code, UnderpassError } from "../../shared/errors.ts";

function options(words: string, env: Record<string, string> = {}): AgentOptions {
  return checkOptions(new CommandLine(words.split(" ").filter(Boolean), env, "0.0.0"));
}

function refusal(words: string, env: Record<string, string> = {}): { code: Code; message: string } {
  try {
    options(words, env);
  } catch (error) {
    if (error instanceof UnderpassError) return error;
    throw error;
  }
  throw new Error(`accepted: ${words}`);
}

describe("what is exposed", () => {
  test("--port N and http N are the same", () => {
    expect(options("--port 8080")).toEqual(options("http 8080"));
    expect(options("--port 8080").origin).toEqual({ tls: false, port: 8080, url: "http://localhost:8080" });
  });

  test.each([
    ["http://127.0.0.1:3000", { tls: false, host: "127.0.0.1", port: 3000, url: "http://127.0.0.1:3000" }],
    ["http://box", { tls: false, host: "box", port: 80, url: "http://box" }],
    ["https://localhost:8443/", { tls: true, host: "localhost", port: 8443, url: "https://localhost:8443" }],
    ["https://[::1]", { tls: true, host: "::1", port: 443, url: "https://[::1]" }],
    ["unix:/run/app.sock", { tls: false, unix: "/run/app.sock", url: "unix:/run/app.sock" }],
    ["unix:///run/app.sock", { tls: false, unix: "/run/app.sock", url: "unix:/run/app.sock" }],
  ])("http %s", (target, origin) => {
    expect(options(`http ${target}`).origin).toEqual(origin);
  });

  test.each([
    "http://box/path",
    "ftp://box",
    "box:80",
    "unix:app.sock",
    "0",
    "65536",
    "http://u:p@box",
    "-1",
  ])("http %s is refused", (target) => {
    expect(refusal(`http ${target}`).code).toBe("usage");
  });

  test("nothing, or two things, to expose is bad usage", () => {
    expect(refusal("").message).toContain("--port 8080");
    expect(refusal("--port 1 http 2").code).toBe("usage");
  });

  test("a target without `http` gets a hint", () => {
    expect(refusal("8080").message).toContain("`http 8080`");
  });
});

describe("where to", () => {
  test("a token over plain http goes to this machine only, unless told otherwise", () => {
    for (const relay of ["http://localhost:1", "http://127.0.0.1", "http://[::1]:1", "https://r.example"]) {
      expect(options(`--port 1 --relay ${relay}`).relay?.href).toBe(new URL(relay).href);
    }
    expect(refusal("--port 1 --relay http://r.example").code).toBe("insecure-relay");
    expect(refusal("--port 1 --relay http://127.0.0.1.evil.example").code).toBe("insecure-relay");
    expect(options("--port 1 --relay http://r.example --insecure").insecure).toBe(true);
  });

  test.each(["r.example", "ws://r", "https://r/x", "https://u:p@r"])("--relay %s is refused", (relay) => {
    expect(refusal(`--port 1 --relay ${relay}`).code).toBe("usage");
  });

  test("--listen is for the embedded relay", () => {
    expect(options("--port 1 --listen 0.0.0.0:9").listen).toEqual({ host: "0.0.0.0", port: 9 });
    expect(options("--port 1 --listen [::]:9").listen).toEqual({ host: "::", port: 9 });
    expect(refusal("--port 1 --listen x").code).toBe("usage");
    expect(refusal("--port 1 --listen 0.0.0.0:9 --relay https://r").code).toBe("usage");
  });

  test.each(["Blue", "-a", "a-", "a_b", "a.b", "x".repeat(64), "ä"])("name %p is refused", (name) => {
    expect(refusal(`--port 1 --name ${name}`).code).toBe("name-invalid");
  });

  test("a token on the command line works and warns; elsewhere it does not warn", () => {
    const given = options("--port 1 --token abc");
    expect(given.token).toEqual({ value: "abc" });
    expect(given.warnings).toHaveLength(1);
    expect(given.warnings.join()).not.toContain("abc");
    expect(options("--port 1", { UNDERPASS_TOKEN: "abc\n" })).toMatchObject({
      token: { value: "abc" },
      warnings: [],
    });
    expect(options("--port 1 --token-file t", { UNDERPASS_TOKEN: "abc" }).token).toEqual({ file: "t" });
    expect(options("--port 1 --token x", { UNDERPASS_TOKEN_FILE: "t" }).token).toEqual({ value: "x" });
  });
});

const everySwitch: readonly [
  name: string,
  value: string | undefined,
  read: (options: AgentOptions) => unknown,
  want: unknown,
][] = [
  ["port", "81", (o) => o.origin.port, 81],
  ["host-header", "origin", (o) => o.hostHeader, "origin"],
  ["origin-insecure", undefined, (o) => o.originInsecure, true],
  ["origin-dial-timeout", "3s", (o) => o.originDialTimeoutMs, 3_000],
  ["origin-head-timeout", "5m", (o) => o.originHeadTimeoutMs, 300_000],
  ["relay", "https://r.example", (o) => o.relay?.host, "r.example"],
  ["listen", "127.0.0.1:0", (o) => o.listen, { host: "127.0.0.1", port: 0 }],
  ["name", "blue", (o) => o.name, "blue"],
  ["token-file", "t.jwt", (o) => o.token, { file: "t.jwt" }],
  ["token", "abc", (o) => o.token, { value: "abc" }],
  ["insecure", undefined, (o) => o.insecure, true],
  ["links", "3", (o) => o.links, 3],
  ["no-reconnect", undefined, (o) => o.reconnect, false],
  ["max-reconnect-delay", "500ms", (o) => o.maxReconnectDelayMs, 500],
  ["json", undefined, (o) => o.json, true],
  ["qr", undefined, (o) => o.qr, true],
  ["verbose", undefined, (o) => o.verbose, true],
  ["quiet", undefined, (o) => o.quiet, true],
  ["join", undefined, (o) => o.join, true],
];

describe("every switch", () => {
  const help = new CommandLine(["--help"], {}, "0.0.0").print ?? "";
  test.each(everySwitch)(
    "--%s works, as a variable too, and stands in --help with an example",
    (name, value, read, want) => {
      const target = name === "port" ? "" : "http 80";
      const variable = `UNDERPASS_${name.toUpperCase().replaceAll("-", "_")}`;
      expect(read(options(`${target} --${name} ${value ?? ""}`))).toEqual(want);
      expect(read(options(target, { [variable]: value ?? "1" }))).toEqual(want);
      expect(read(options(`${target || "http 80"}`, { [variable]: "" }))).not.toEqual(want);
      expect(help).toMatch(new RegExp(`--${name}\\b[^]*?e\\.g\\. .*\\(${variable}\\)`));
    },
  );

  test("the test's list is whole", () => {
    const listed = [...help.matchAll(/^ {2}--([a-z-]+)/gm)]
      .map((match) => match[1])
      .filter((name) => name !== undefined);
    expect(listed.sort()).toEqual(everySwitch.map(([name]) => name).sort());
  });

  test("the command line wins over the environment", () => {
    expect(options("http 80 --links 3", { UNDERPASS_LINKS: "4" }).links).toBe(3);
    expect(options("http 80", { UNDERPASS_PORT: "81" }).origin.port).toBe(80);
  });

  test.each([
    ["--port 1 --links 0"],
    ["--port 1 --links x"],
    ["--port 1 --origin-dial-timeout soon"],
    ["--port 1 --origin-dial-timeout 0s"],
    ["--port 1 --host-header a\nb"],
    ["--port"],
    ["--prot 1"],
    ["http"],
    ["http 80 81"],
    ["nonsense --port 1"],
  ])("%j is bad usage", (words) => {
    expect(refusal(words).code).toBe("usage");
  });

  test("a variable that is neither yes nor no is bad usage", () => {
    expect(refusal("--port 1", { UNDERPASS_JSON: "maybe" }).code).toBe("usage");
    expect(options("--port 1", { UNDERPASS_JSON: "0" }).json).toBe(false);
  });
});

test.each([
  "tcp 5432 --remote-port 7",
  "tls 443",
  "udp 53",
  "private 22",
  "connect n --stdio",
  "proxy",
  "forward --to a:1",
  "start",
  "config check",
])("%s says that this version doesn't have it", (words) => {
  const { code, message } = refusal(words);
  expect(code).toBe("usage");
  expect(message).toContain("not available in this version");
});

test("--version prints the version", () => {
  expect(new CommandLine(["--version"], {}, "1.2.3").print).toBe("1.2.3\n");
});
