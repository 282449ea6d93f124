import { describe, expect, test } from "bun:test";
import { commandHelps } from "../../agent/command-helps.ts";
import { CommandLine } from "../../agent/command-line.ts";
import {
  type AgentCommand,
  type AgentOptions,
  checkOptions,
  type ExposeCommand,
} from "../../agent/options.ts";
import { type CommandName, switches, variableOf } from "../../agent/switches.ts";
import { type Code, UnderpassError } from "../../shared/errors.ts";
import { kinds } from "../../shared/kind.ts";

function options(words: string, env: Record<string, string> = {}): AgentOptions {
  return checkOptions(new CommandLine(words.split(" ").filter(Boolean), env, "0.0.0"));
}

/** The command that was asked for, which must be the one named. */
function as<Name extends AgentCommand["command"]>(
  name: Name,
  words: string,
  env: Record<string, string> = {},
): Extract<AgentCommand, { command: Name }> {
  const { command } = options(words, env);
  if (!isNamed(command, name)) throw new Error(`${words}: ${command.command}`);
  return command;
}

function isNamed<Name extends AgentCommand["command"]>(
  command: AgentCommand,
  name: Name,
): command is Extract<AgentCommand, { command: Name }> {
  return command.command === name;
}

const exposed = (words: string, env: Record<string, string> = {}): ExposeCommand => as("expose", words, env);
const help = (words: string): string => new CommandLine(words.split(" "), {}, "0.0.0").print ?? "";

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
    expect(exposed("--port 8080").tunnel).toMatchObject({
      kind: "http",
      origin: { tls: false, port: 8080, url: "http://localhost:8080" },
    });
  });

  test.each([
    [
      "http http://127.0.0.1:3000",
      { tls: false, host: "127.0.0.1", port: 3000, url: "http://127.0.0.1:3000" },
    ],
    ["http http://box", { tls: false, host: "box", port: 80, url: "http://box" }],
    [
      "http https://localhost:8443/",
      { tls: true, host: "localhost", port: 8443, url: "https://localhost:8443" },
    ],
    ["http https://[::1]", { tls: true, host: "::1", port: 443, url: "https://[::1]" }],
    ["http unix:/run/app.sock", { tls: false, unix: "/run/app.sock", url: "unix:/run/app.sock" }],
    ["http unix:///run/app.sock", { tls: false, unix: "/run/app.sock", url: "unix:/run/app.sock" }],
    ["tcp 5432", { tls: false, port: 5432, url: "tcp://localhost:5432" }],
    ["tcp db:5432", { tls: false, host: "db", port: 5432, url: "tcp://db:5432" }],
    ["tcp [::1]:22", { tls: false, host: "::1", port: 22, url: "tcp://[::1]:22" }],
    ["tls 443", { tls: false, port: 443, url: "tcp://localhost:443" }],
    ["tls unix:/run/tls.sock", { tls: false, unix: "/run/tls.sock", url: "unix:/run/tls.sock" }],
    ["udp 53", { tls: false, port: 53, url: "udp://localhost:53" }],
    ["udp 10.0.0.1:53", { tls: false, host: "10.0.0.1", port: 53, url: "udp://10.0.0.1:53" }],
    ["private 22", { tls: false, port: 22, url: "tcp://localhost:22" }],
    ["private box:22", { tls: false, host: "box", port: 22, url: "tcp://box:22" }],
  ])("%s", (words, origin) => {
    const { tunnel } = exposed(words);
    expect(tunnel.origin).toEqual(origin);
    expect(tunnel.kind as string).toBe(words.split(" ")[0] ?? "");
  });

  test.each([
    "http http://box/path",
    "http ftp://box",
    "http box:80",
    "http unix:app.sock",
    "http 0",
    "http 65536",
    "http http://u:p@box",
    "http -1",
    "tcp 0",
    "tcp box",
    "tcp box:0",
    "tcp box:65536",
    "tcp ::1:22",
    "tcp tcp://box:22",
    "tcp unix:db.sock",
    "udp unix:/run/x.sock",
    "private user@box:22",
  ])("%s is refused", (words) => {
    expect(refusal(words).code).toBe("usage");
  });

  test("nothing, or two things, to expose is bad usage", () => {
    expect(refusal("").message).toContain("--port 8080");
    expect(refusal("--port 1 http 2").message).toContain("not both");
    expect(refusal("--port 1 tcp 2").message).toContain("--port is for http");
  });

  test("--allow-egress offers nothing without a tunnel, and says what to give", () => {
    expect(refusal("--allow-egress a:1").message).toContain("private 22");
    expect(exposed("private 22 --allow-egress a:1 --allow-egress b:2").tunnel.allowEgress).toEqual([
      "a:1",
      "b:2",
    ]);
    const env = { UNDERPASS_ALLOW_EGRESS: "*.example:80,443, 10.0.0.0/8:22,[2001:db8::]/32:1-2" };
    expect(exposed("tcp 22", env).tunnel.allowEgress).toEqual([
      "*.example:80,443",
      "10.0.0.0/8:22",
      "[2001:db8::]/32:1-2",
    ]);
    expect(refusal("http 1 --allow-egress nonsense").message).toContain("--allow-egress");
  });

  test("what is meant is guessed and told", () => {
    expect(refusal("8080").message).toContain("`http 8080`");
    expect(refusal("http://box").message).toContain("`http http://box`");
    expect(refusal("tpc 22").message).toContain("`tcp`");
    expect(refusal("conect box").message).toContain("`connect`");
    expect(refusal("http 80 --nam x").message).toContain("--name");
    expect(refusal("config").message).toContain("`config check`");
    expect(refusal("config chek").message).toContain("`config check`");
    expect(refusal("udp").message).toContain("For example: underpass udp 53");
  });
});

describe("where to", () => {
  test("a token over plain http goes to this machine only, unless told otherwise", () => {
    for (const relay of ["http://localhost:1", "http://127.0.0.1", "http://[::1]:1", "https://r.example"]) {
      expect(exposed(`--port 1 --relay ${relay}`).link.relay?.href).toBe(new URL(relay).href);
    }
    expect(refusal("--port 1 --relay http://r.example").code).toBe("insecure-relay");
    expect(refusal("--port 1 --relay http://127.0.0.1.evil.example").code).toBe("insecure-relay");
    expect(exposed("--port 1 --relay http://r.example --insecure").link.insecure).toBe(true);
  });

  test.each(["r.example", "ws://r", "https://r/x", "https://u:p@r"])("--relay %s is refused", (relay) => {
    expect(refusal(`--port 1 --relay ${relay}`).code).toBe("usage");
    expect(refusal(`connect a --stdio --relay ${relay}`).code).toBe("usage");
  });

  test("--listen of a tunnel is for the embedded relay", () => {
    expect(exposed("--port 1 --listen 0.0.0.0:9").listen).toEqual({ host: "0.0.0.0", port: 9 });
    expect(exposed("tcp 1 --listen [::]:9").listen).toEqual({ host: "::", port: 9 });
    expect(refusal("--port 1 --listen x").code).toBe("usage");
    expect(refusal("--port 1 --listen 9").code).toBe("usage");
    expect(refusal("--port 1 --listen 0.0.0.0:9 --relay https://r").code).toBe("usage");
  });

  test.each(["Blue", "-a", "a-", "a_b", "a.b", "x".repeat(64), "ä"])("name %p is refused", (name) => {
    for (const words of [
      `--port 1 --name ${name}`,
      `start ${name}`,
      `proxy --listen 1 --relay https://r --via ${name}`,
    ])
      expect(["name-invalid", "usage"]).toContain(refusal(words).code);
    expect(refusal(`--port 1 --name ${name}`).code).toBe("name-invalid");
  });

  test("a token on the command line works and warns; elsewhere it does not warn", () => {
    const given = options("--port 1 --token abc");
    expect(exposed("--port 1 --token abc").link.token).toEqual({ value: "abc" });
    expect(given.face.warnings).toHaveLength(1);
    expect(given.face.warnings.join()).not.toContain("abc");
    const env = { UNDERPASS_TOKEN: "abc\n" };
    expect(options("--port 1", env).face.warnings).toEqual([]);
    expect(exposed("--port 1", env).link.token).toEqual({ value: "abc" });
    expect(exposed("--port 1 --token-file t", env).link.token).toEqual({ file: "t" });
    expect(exposed("--port 1 --token x", { UNDERPASS_TOKEN_FILE: "t" }).link.token).toEqual({ value: "x" });
    expect(refusal("--port 1 --token x --token-file t").message).toContain("not both");
  });
});

describe("what is reached from here", () => {
  const relay = "--relay https://r.example";

  test("connect listens on this machine, or speaks by stdin and stdout", () => {
    const at = (words: string, env = {}) => as("connect", `connect box ${relay} ${words}`, env).from;
    expect(at("--listen 0.0.0.0:2222")).toEqual({ host: "0.0.0.0", port: 2222 });
    expect(at("--listen 2222")).toEqual({ host: "127.0.0.1", port: 2222 });
    expect(at("--stdio")).toBe("stdio");
    expect(at("", { UNDERPASS_STDIO: "1" })).toBe("stdio");
    expect(at("", { UNDERPASS_LISTEN: "127.0.0.1:0" })).toEqual({ host: "127.0.0.1", port: 0 });
    // What the person says now beats what the environment says always.
    expect(at("--listen 1", { UNDERPASS_STDIO: "1" })).toEqual({ host: "127.0.0.1", port: 1 });
    expect(at("--stdio", { UNDERPASS_LISTEN: "127.0.0.1:1" })).toBe("stdio");
    expect(refusal(`connect box ${relay} --stdio --listen 1`).message).toContain("either");
    expect(refusal(`connect box ${relay}`).message).toContain("--listen 127.0.0.1:2222");
    expect(refusal(`connect ${relay} --stdio`).message).toContain("connect box");
    expect(refusal(`connect Box ${relay} --stdio`).code).toBe("name-invalid");
    expect(as("connect", `connect box ${relay} --stdio`).name).toBe("box");
  });

  test("proxy goes out at the relay, or at the agents of a tunnel", () => {
    expect(as("proxy", `proxy --listen 1080 ${relay}`)).toMatchObject({
      command: "proxy",
      listen: { host: "127.0.0.1", port: 1080 },
    });
    const all = as("proxy", `proxy --listen [::1]:0 ${relay} --via box --auth-file f --links 1`);
    expect(all).toMatchObject({ listen: { host: "::1", port: 0 }, via: "box", authFile: "f" });
    expect(all.link.links).toBe(1);
    expect(refusal(`proxy ${relay}`).message).toContain("proxy --listen 127.0.0.1:1080");
  });

  test("a proxy that others can reach, and that asks for no password, is warned of", () => {
    const warnings = (words: string) => options(`proxy ${relay} --listen ${words}`).face.warnings;
    for (const open of ["0.0.0.0:1", "[::]:1", "192.168.1.2:1"]) {
      expect(warnings(open).join()).toContain("--auth-file");
      expect(warnings(`${open} --auth-file f`)).toEqual([]);
    }
    for (const own of ["1", "localhost:1", "[::1]:1", "127.0.0.2:1"]) expect(warnings(own)).toEqual([]);
  });

  test("forward knows no relay", () => {
    expect(as("forward", "forward --listen 5000 --to host:80")).toEqual({
      command: "forward",
      listen: { host: "127.0.0.1", port: 5000 },
      to: { tls: false, host: "host", port: 80, url: "tcp://host:80" },
    });
    expect(as("forward", "forward --listen 5000 --to unix:/x").to.unix).toBe("/x");
    expect(refusal("forward --listen 5000").message).toContain("--to host:80");
    expect(refusal("forward --to a:1").message).toContain("--listen 127.0.0.1:5000");
    expect(refusal("forward --listen 5000 --to a:1 --relay https://r").message).toContain("not for forward");
  });

  test("connect and proxy can't do without a relay, and say so", () => {
    for (const words of ["connect box --stdio", "proxy --listen 1080"])
      expect(refusal(words).message).toContain("--relay https://relay.example");
  });
});

describe("several tunnels", () => {
  test("start takes names, a file, and what is to win over the file", () => {
    expect(as("start", "start")).toMatchObject({ names: [], link: {} });
    expect(as("start", "start web db --config c.yaml --links 3 --no-reconnect")).toMatchObject({
      names: ["web", "db"],
      config: "c.yaml",
      link: { links: 3, reconnect: false },
    });
    expect(Object.values(as("start", "start").link).every((each) => each === undefined)).toBe(true);
    expect(as("start", "start --listen 0.0.0.0:9").listen).toEqual({ host: "0.0.0.0", port: 9 });
  });

  test("config check takes a file", () => {
    expect(options("config check --config c.yaml").command).toEqual({
      command: "config-check",
      config: "c.yaml",
    });
    expect(refusal("config check extra").code).toBe("usage");
  });
});

const relayed = "--relay https://r.example";
const connect = `connect n ${relayed}`;

/** A switch, its value, the command line that it is added to, and what it then says there. */
const everySwitch: readonly [
  name: string,
  value: string | undefined,
  base: string,
  read: (words: string, env: Record<string, string>) => unknown,
  want: unknown,
][] = [
  ["port", "81", "", (...given) => exposed(...given).tunnel.origin.port, 81],
  ["name", "blue", "tls 1", (...given) => exposed(...given).tunnel.name, "blue"],
  ["remote-port", "7", "tcp 1", (...given) => exposed(...given).tunnel.remotePort, 7],
  ["proxy-protocol", "v2", "tls 1", (...given) => exposed(...given).tunnel.proxyProtocol, "v2"],
  ["host-header", "origin", "http 80", (...given) => exposed(...given).tunnel.hostHeader, "origin"],
  ["origin-insecure", undefined, "http 80", (...given) => exposed(...given).tunnel.originInsecure, true],
  ["origin-dial-timeout", "3s", "tcp 1", (...given) => exposed(...given).tunnel.originDialTimeoutMs, 3_000],
  [
    "origin-head-timeout",
    "5m",
    "http 80",
    (...given) => exposed(...given).tunnel.originHeadTimeoutMs,
    300_000,
  ],
  ["join", undefined, "http 80", (...given) => exposed(...given).tunnel.join, true],
  ["allow-egress", "a:1", "http 80", (...given) => exposed(...given).tunnel.allowEgress, ["a:1"]],
  ["config", "c.yaml", "start", (...given) => as("start", ...given).config, "c.yaml"],
  ["stdio", undefined, connect, (...given) => as("connect", ...given).from, "stdio"],
  ["via", "box", `proxy --listen 1 ${relayed}`, (...given) => as("proxy", ...given).via, "box"],
  ["auth-file", "f", `proxy --listen 1 ${relayed}`, (...given) => as("proxy", ...given).authFile, "f"],
  ["to", "h:1", "forward --listen 1", (...given) => as("forward", ...given).to.host, "h"],
  ["relay", "https://r.example", "http 80", (...given) => exposed(...given).link.relay?.host, "r.example"],
  [
    "listen",
    "127.0.0.1:0",
    "http 80",
    (...given) => exposed(...given).listen,
    { host: "127.0.0.1", port: 0 },
  ],
  ["token-file", "t.jwt", "udp 1", (...given) => exposed(...given).link.token, { file: "t.jwt" }],
  ["token", "abc", "udp 1", (...given) => exposed(...given).link.token, { value: "abc" }],
  ["insecure", undefined, "http 80", (...given) => exposed(...given).link.insecure, true],
  ["links", "3", "http 80", (...given) => exposed(...given).link.links, 3],
  ["transport", "sse", "http 80", (...given) => exposed(...given).link.transport, "sse"],
  ["websocket-retry", "5m", "http 80", (...given) => exposed(...given).link.websocketRetryMs, 300_000],
  ["no-reconnect", undefined, "http 80", (...given) => exposed(...given).link.reconnect, false],
  ["max-reconnect-delay", "500ms", "http 80", (...given) => exposed(...given).link.maxReconnectDelayMs, 500],
  ["json", undefined, "http 80", (...given) => options(...given).face.json, true],
  ["qr", undefined, "http 80", (...given) => options(...given).face.qr, true],
  ["verbose", undefined, "forward --listen 1 --to 2", (...given) => options(...given).face.verbose, true],
  ["quiet", undefined, "http 80", (...given) => options(...given).face.quiet, true],
];

describe("every switch", () => {
  const whole = help("--help");
  test.each(everySwitch)(
    "--%s works, as a variable too, and stands in --help with an example",
    (name, value, base, read, want) => {
      const variable = variableOf(name);
      const before = (words: string, env: Record<string, string>): unknown => {
        try {
          return read(words, env);
        } catch (error) {
          // Without it the command line may lack something.
          if (error instanceof UnderpassError) return error;
          throw error;
        }
      };
      expect(read(`${base} --${name} ${value ?? ""}`, {})).toEqual(want);
      expect(read(base, { [variable]: value ?? "1" })).toEqual(want);
      expect(before(base, { [variable]: "" })).not.toEqual(want);
      const entry = new RegExp(`--${name}\\b[^]*?e\\.g\\. .*\\(${variable}\\)`);
      expect(whole).toMatch(entry);
      // `--port N` is a command of its own.
      if (name !== "port") expect(help(`${base.split(" ")[0]} --help`)).toMatch(entry);
    },
  );

  test("the test's list is whole", () => {
    const shown = [...whole.matchAll(/^ {2}--([a-z-]+)/gm)].flatMap((match) => match[1] ?? []);
    const listed = everySwitch.map(([name]) => name).sort();
    expect(shown.sort()).toEqual(listed);
    expect(switches.map(({ name }) => name).sort()).toEqual(listed);
  });

  /** A command line of each command that lacks nothing. */
  const bases: Record<CommandName, string> = {
    http: "http 80",
    tcp: "tcp 80",
    tls: "tls 80",
    udp: "udp 80",
    private: "private 80",
    connect: `${connect} --stdio`,
    proxy: `proxy --listen 1 ${relayed}`,
    forward: "forward --listen 1 --to 2",
    start: "start",
    "config-check": "config check",
  };
  const values = new Map(everySwitch.map(([name, value]) => [name, value ?? ""]));

  test.each(commandHelps.map(({ name }) => name))(
    "%s takes the switches of its own help; any other is bad usage that says what it is for, while its variable is left alone",
    (command) => {
      const base = bases[command];
      const words = command === "config-check" ? "config check" : command;
      const shown = help(`${words} --help`);
      for (const { name, commands } of switches) {
        const listed = new RegExp(`^ {2}--${name}\\b`, "m").test(shown);
        expect([name, listed]).toEqual([name, commands.includes(command) && name !== "port"]);
        if (commands.includes(command)) continue;
        expect(refusal(`${base} --${name} ${values.get(name)}`).message).toContain(`--${name} is for `);
        expect(() => options(base, { [variableOf(name)]: "nonsense" })).not.toThrow();
      }
      expect(shown).toContain("Examples:\n");
    },
  );

  test("switches may stand before the command too", () => {
    expect(options("--name a --links 3 tcp 80")).toEqual(options("tcp 80 --name a --links 3"));
  });

  test("all kinds have their command", () => {
    for (const kind of kinds) expect(exposed(`${kind} 80`).tunnel.kind).toBe(kind);
  });

  test("the command line wins over the environment", () => {
    expect(exposed("http 80 --links 3", { UNDERPASS_LINKS: "4" }).link.links).toBe(3);
    expect(exposed("http 80", { UNDERPASS_PORT: "81" }).tunnel.origin.port).toBe(80);
    const env = { UNDERPASS_ALLOW_EGRESS: "b:2" };
    expect(exposed("http 80 --allow-egress a:1", env).tunnel.allowEgress).toEqual(["a:1"]);
  });

  test.each([
    ["--port 1 --links 0"],
    ["--port 1 --links 9"],
    ["--port 1 --links x"],
    ["--port 1 --origin-dial-timeout soon"],
    ["--port 1 --origin-dial-timeout 0s"],
    ["--port 1 --host-header a\nb"],
    ["--port 1 --transport carrier-pigeon"],
    ["--port 1 --websocket-retry 0s"],
    ["tcp 1 --remote-port 0"],
    ["tcp 1 --remote-port 65536"],
    ["tcp 1 --remote-port x"],
    ["tcp 1 --proxy-protocol v3"],
    ["--port"],
    ["--prot 1"],
    ["http"],
    ["http 80 81"],
    ["tcp 80 81"],
    ["nonsense --port 1"],
  ])("%j is bad usage", (words) => {
    expect(refusal(words).code).toBe("usage");
  });

  test("a variable that is neither yes nor no is bad usage", () => {
    expect(refusal("--port 1", { UNDERPASS_JSON: "maybe" }).code).toBe("usage");
    expect(options("--port 1", { UNDERPASS_JSON: "0" }).face.json).toBe(false);
  });
});

test("--version prints the version", () => {
  expect(new CommandLine(["--version"], {}, "1.2.3").print).toBe("1.2.3\n");
});

test("the help of the whole lists each command, and that of one is had in two ways", () => {
  const whole = help("--help");
  for (const { name, text, examples } of commandHelps) {
    const words = name.replace("-", " ");
    expect(whole).toMatch(new RegExp(`^ {2}${words}.* {2}${text.slice(0, 20)}`, "m"));
    for (const [example] of examples) expect(whole).toContain(example);
    expect(help(`${words} --help`)).toContain(text);
  }
  expect(help("help tcp")).toBe(help("tcp --help"));
});
