import { describe, expect, test } from "bun:test";
import { commandHelps } from "../../agent/command/command-helps.ts";
import { CommandLine } from "../../agent/command/command-line.ts";
import { type CommandName, switches, variableOf } from "../../agent/command/switches.ts";
import { UnderpassError } from "../../shared/errors.ts";
import { kinds } from "../../shared/kind.ts";
import { as, exposed, help, options, refusal } from "./given-options.ts";

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
  [
    "relay",
    "https://r.example",
    "http 80",
    (...given) => exposed(...given).link.relays?.[0]?.host,
    "r.example",
  ],
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
