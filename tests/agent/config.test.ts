import { describe, expect, test } from "bun:test";
import { ConfigError, type ConfigSource, configText, readConfig } from "../../agent/config/config.ts";
import type { EntryCommand } from "../../agent/config/entries.ts";
import { UnderpassError } from "../../shared/errors.ts";

function read(text: string, more: Partial<ConfigSource> = {}): ReadonlyMap<string, EntryCommand> {
  return readConfig({ text, path: "underpass.yaml", link: {}, names: [], ...more }).entries;
}

function problems(text: string, more: Partial<ConfigSource> = {}): readonly string[] {
  try {
    read(text, more);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

function refusal(text: string, more: Partial<ConfigSource>): string {
  try {
    read(text, more);
  } catch (error) {
    if (error instanceof UnderpassError) return `${error.code}: ${error.message}`;
    throw error;
  }
  return "";
}

describe("underpass.yaml", () => {
  test("stands for the commands that a command line would say", () => {
    const entries = read(`
relay: https://relay.example
token-file: token.jwt
links: 3
max-reconnect-delay: 5s
tunnels:
  web:
    http: 8080
    host-header: origin
    origin-head-timeout: 5m
  db:
    tcp: 10.0.0.5:5432
    name: office-db
    remote-port: 15432
    proxy-protocol: v2
  dns: { udp: 53 }
  box: { private: "22", allow-egress: ["10.1.0.0/16:22,443"] }
connect:
  far: { listen: 127.0.0.1:2222, name: far-box }
proxy:
  out: { listen: "[::1]:1080", via: box, auth-file: proxy.txt }
forward:
  plain: { listen: 127.0.0.1:0, to: unix:/run/app.sock }
`);
    expect([...entries.keys()]).toEqual(["web", "db", "dns", "box", "far", "out", "plain"]);
    const link = { token: { file: "token.jwt" }, links: 3, maxReconnectDelayMs: 5_000, reconnect: true };
    expect(entries.get("web")).toMatchObject({
      command: "expose",
      tunnel: {
        ...{ kind: "http", name: "web", hostHeader: "origin", join: false },
        ...{ originHeadTimeoutMs: 300_000, originDialTimeoutMs: 10_000 },
        origin: { port: 8080, url: "http://localhost:8080" },
      },
      link,
    });
    expect(entries.get("db")).toMatchObject({
      tunnel: { kind: "tcp", name: "office-db", remotePort: 15_432, proxyProtocol: "v2" },
    });
    expect(entries.get("dns")).toMatchObject({ tunnel: { kind: "udp", origin: { port: 53 } } });
    expect(entries.get("box")).toMatchObject({
      tunnel: { kind: "private", origin: { port: 22 }, allowEgress: ["10.1.0.0/16:22,443"] },
    });
    const far = { command: "connect", name: "far-box", from: { host: "127.0.0.1", port: 2222 } };
    expect(entries.get("far")).toMatchObject({ ...far, link });
    expect(entries.get("out")).toMatchObject({
      ...{ command: "proxy", listen: { host: "::1", port: 1080 }, via: "box", authFile: "proxy.txt" },
      link,
    });
    expect(entries.get("plain")).toMatchObject({
      ...{ command: "forward", listen: { host: "127.0.0.1", port: 0 }, to: { unix: "/run/app.sock" } },
    });
  });

  test("names a tunnel by its key, by its name, or not at all", () => {
    const entries = read(
      "tunnels: {web: {http: 1}, two: {http: 2, name: blue}, any: {http: 3, random-name: true}}",
    );
    const names = [...entries.values()].map((entry) => entry.command === "expose" && entry.tunnel.name);
    expect(names).toEqual(["web", "blue", undefined]);
  });

  test("finds relative files in its own folder, and leaves whole paths alone", () => {
    const text = (file: string) => `token-file: ${file}\ntunnels: {web: {http: 1}}`;
    const fileOf = (path: string, file: string) => {
      const entry = read(text(file), { path }).get("web");
      return entry?.command === "expose" && entry.link.token;
    };
    expect(fileOf("conf/underpass.yaml", "t.jwt")).toEqual({ file: "conf/t.jwt" });
    expect(fileOf("/etc/underpass/u.yaml", "../t.jwt")).toEqual({ file: "/etc/underpass/../t.jwt" });
    expect(fileOf("/etc/underpass/u.yaml", "/run/t.jwt")).toEqual({ file: "/run/t.jwt" });
  });

  test("gives way to the command line", () => {
    const text = "relay: https://one.example\ntoken-file: t\nlinks: 2\ntunnels: {web: {http: 1}}";
    const link = { relays: ["https://two.example"], links: 4, token: { value: "secret" } };
    const entry = read(text, { link }).get("web");
    expect(entry).toMatchObject({ link: { links: 4, token: { value: "secret" } } });
    expect(entry?.command === "expose" && entry.link.relays?.map(String)).toEqual(["https://two.example/"]);
    const listen = { host: "127.0.0.1", port: 0 };
    expect(read(text, { listen }).get("web")).toMatchObject({ listen });
  });

  test("may name several relays", () => {
    const web = "tunnels: {web: {http: 1}}";
    const relaysOf = (relay: string) => {
      const entry = read(`relay: ${relay}\n${web}`, {}).get("web");
      return entry?.command === "expose" && entry.link.relays?.map(({ host }) => host);
    };
    expect(relaysOf("https://a.example")).toEqual(["a.example"]);
    expect(relaysOf("[https://a.example, https://b.example]")).toEqual(["a.example", "b.example"]);
    for (const wrong of ["[]", "1", "[1]", `[${"https://a.example, ".repeat(9)}]`])
      expect(refusal(`relay: ${wrong}\n${web}`, {})).toContain("underpass.yaml:1: relay");
  });

  test("starts only the entries that are named, and says which there are", () => {
    const text = "tunnels: {web: {http: 1}, api: {http: 2}, db: {tcp: 3}}";
    expect([...read(text, { names: ["db", "web"] }).keys()]).toEqual(["web", "db"]);
    expect(refusal(text, { names: ["web", "wep"] })).toBe(
      "usage: underpass.yaml has no wep. There are web, api, db.",
    );
  });

  test("knows YAML's anchors and merges", () => {
    const entries = read(`
tunnels:
  one: &shared
    http: 8080
    host-header: origin
  two:
    <<: *shared
    http: 8081
`);
    expect(entries.get("two")).toMatchObject({
      tunnel: { name: "two", hostHeader: "origin", origin: { port: 8081 } },
    });
  });

  test("takes environment variables as they are written", () => {
    const [line] = problems("tunnels: {web: {http: $PORT}}");
    expect(line).toContain('"$PORT"');
  });
});

describe("what is wrong in it", () => {
  test("is told all at once, with line and path, in the file's order", () => {
    const text = `relay: https://relay.example
tunnels:
  web:
    http: 8080
    remote-port: 80
  db:
    tcp: 99999
    proxy-protocol: v3
  Bad: { http: 1 }
links: "2"
`;
    expect(problems(text)).toEqual([
      "underpass.yaml:5: tunnels.web.remote-port: is for tcp, udp, not for http.",
      "underpass.yaml:7: tunnels.db.tcp: give a whole number from 1 to 65535.",
      "underpass.yaml:8: tunnels.db.proxy-protocol: give v1 or v2.",
      `underpass.yaml:9: tunnels.Bad: "Bad" can't be a name: 1 to 63 of a-z, 0-9 and '-', with a letter or digit at both ends.`,
      "underpass.yaml:10: links: give a whole number from 1 to 8.",
    ]);
  });

  test("is told ten at a time", () => {
    const text = `tunnels:\n${Array.from({ length: 30 }, (_, index) => `  t${index}: { http: 0 }\n`).join("")}`;
    const lines = problems(text);
    expect(lines).toHaveLength(11);
    expect(lines[9]).toStartWith("underpass.yaml:11: tunnels.t9.http: ");
    expect(lines[10]).toBe("and 20 more.");
  });

  const web = "tunnels: {web: {http: 1}}";
  test.each([
    [`tokenfile: x\n${web}`, "underpass.yaml:1: tokenfile: unknown key; did you mean 'token-file'?"],
    [`token_file: x\n${web}`, "underpass.yaml:1: token_file: unknown key; did you mean 'token-file'?"],
    [
      `maxReconnectDelay: 5s\n${web}`,
      "underpass.yaml:1: maxReconnectDelay: unknown key; did you mean 'max-reconnect-delay'?",
    ],
    [`tunels: {}\n${web}`, "underpass.yaml:1: tunels: unknown key; did you mean 'tunnels'?"],
    [
      "tunnels:\n  web:\n    htpp: 8080",
      "underpass.yaml:2: tunnels.web: what should be exposed? Give one of http, tcp, tls, udp, private, such as http: 8080.",
    ],
    [
      "tunnels:\n  web:\n    http: 1\n    htpp: 8080",
      "underpass.yaml:4: tunnels.web.htpp: unknown key; did you mean 'http'?",
    ],
    [`${web}\nzzz: 1`, "underpass.yaml:2: zzz: unknown key; there are relay, listen,"],
    [
      "tunnels:\n  web: {http: 1, tcp: 2}",
      "underpass.yaml:2: tunnels.web.tcp: a tunnel has one kind, and this one is http already.",
    ],
    [
      "tunnels:\n  web: 8080",
      "underpass.yaml:2: tunnels.web: give keys with values, each on a line of its own.",
    ],
    ["tunnels: [{http: 1}]", "underpass.yaml:1: tunnels: give keys with values, each on a line of its own."],
    [
      "tunnels:\n  web: {http: http://x/path}",
      'underpass.yaml:2: tunnels.web.http: "http://x/path": give only scheme, host and port; visitors bring the path.',
    ],
    [
      "tunnels:\n  web: {http: }",
      "underpass.yaml:2: tunnels.web.http: give where the service listens: PORT, http://HOST:PORT",
    ],
    ["tunnels:\n  web: {http: 1, name: -a}", "underpass.yaml:2: tunnels.web.name: "],
    [
      "tunnels:\n  web: {http: 1, name: blue, random-name: true}",
      "underpass.yaml:2: tunnels.web.random-name: give either name or random-name.",
    ],
    ["tunnels:\n  web: {http: 1, join: yes}", "underpass.yaml:2: tunnels.web.join: give true or false."],
    [
      "tunnels:\n  web: {http: 1, origin-dial-timeout: 10}",
      "underpass.yaml:2: tunnels.web.origin-dial-timeout: give a time with its unit",
    ],
    [
      "tunnels:\n  web: {http: 1, origin-dial-timeout: 0s}",
      "underpass.yaml:2: tunnels.web.origin-dial-timeout: give a time above 0.",
    ],
    [
      "tunnels:\n  web: {http: 1, allow-egress: a:1}",
      "underpass.yaml:2: tunnels.web.allow-egress: give a list of HOST-GLOB:PORTS",
    ],
    [
      "tunnels:\n  web: {http: 1, allow-egress: [a:1, 5]}",
      "underpass.yaml:2: tunnels.web.allow-egress.1: give HOST-GLOB:PORTS",
    ],
    [
      "tunnels:\n  web: {http: 1}\n  b: {http: 2, name: web}",
      "underpass.yaml:3: tunnels.b.name: web has the name web already.",
    ],
    [
      "relay: https://r.example\ntunnels: {a: {http: 1}}\nconnect:\n  a: {listen: 127.0.0.1:1}",
      "underpass.yaml:4: connect.a: there is an entry of this name under tunnels.",
    ],
    [
      "connect:\n  a: {listen: 127.0.0.1:1}",
      "underpass.yaml:1: connect: needs the relay that it goes through: give relay.",
    ],
    ["relay: https://r.example\nproxy:\n  a: {via: box}", "underpass.yaml:3: proxy.a.listen: is missing."],
    [
      "relay: https://r.example\nproxy:\n  a: {listen: 1080}",
      "underpass.yaml:3: proxy.a.listen: give HOST:PORT, such as 127.0.0.1:8787.",
    ],
    [
      `relay: http://relay.example\n${web}`,
      "underpass.yaml:1: relay: http://relay.example: a token is sent over plain http to this machine only.",
    ],
    [
      `relay: https://me:pass@relay.example\n${web}`,
      "underpass.yaml:1: relay: relay: a credential has no place in a URL.",
    ],
    [
      `relay: https://relay.example\nlisten: 127.0.0.1:0\n${web}`,
      "underpass.yaml:2: listen: is for the relay inside this process: give it without relay.",
    ],
    [
      "relay: https://relay.example",
      "underpass.yaml:1: there is nothing to start: give tunnels, connect, proxy, forward.",
    ],
    ["tunnels: {}", "underpass.yaml:1: there is nothing to start"],
    ["", "underpass.yaml:1: give keys with values, each on a line of its own."],
    ["- web", "underpass.yaml:1: give keys with values, each on a line of its own."],
    ["tunnels:\n  web: [", "underpass.yaml:2: "],
    ["tunnels:\n  web: {http: 1}\n  web: {http: 2}", "underpass.yaml:3: Map keys must be unique"],
    ["tunnels:\n  web: {http: !!js 1}", "underpass.yaml:2: Unresolved tag"],
    ["tunnels: {web: *nothing}", "underpass.yaml:1: Unresolved alias"],
    ["a: 1\n---\nb: 2", "underpass.yaml:2: Source contains multiple documents"],
    ["tunnels:\n  constructor: {http: 1}", "underpass.yaml:2: 'constructor' can't be a key here"],
    ["__proto__: {relay: 1}\ntunnels: {web: {http: 1}}", "underpass.yaml:1: '__proto__' can't be a key here"],
  ])("%j", (text, line) => {
    expect(problems(text)[0]).toStartWith(line);
  });

  test("a token in it is refused without being told", () => {
    const lines = problems(`token: eyJhbGciOi\n${web}`);
    expect(lines[0]).toContain("token-file");
    expect(lines.join("\n")).not.toContain("eyJ");
  });

  test("a bomb of aliases is refused, not read", () => {
    const letters = [..."abcdefghi"];
    const bomb = letters.map((letter, index) => {
      const nine = index === 0 ? "x" : `*${letters[index - 1]}`;
      return `${letter}: &${letter} [${Array(9).fill(nine).join(",")}]`;
    });
    expect(problems(bomb.join("\n"))).toEqual([
      "underpass.yaml:1: Excessive alias count indicates a resource exhaustion attack",
    ]);
  });

  test("brackets without end are refused in ten lines", () => {
    expect(problems("[".repeat(200_000)).length).toBeLessThanOrEqual(11);
  });

  test("a file of more than 256 KiB is not looked at", () => {
    const kib = 256;
    expect(configText(new Uint8Array(kib * 1024), "u.yaml")).toHaveLength(kib * 1024);
    expect(() => configText(new Uint8Array(kib * 1024 + 1), "u.yaml")).toThrow(
      new ConfigError(["u.yaml: has more than 256 KiB."]),
    );
  });

  test("a switch is refused as a switch, not as a key", () => {
    expect(refusal(`relay: https://r.example\n${web}`, { link: { links: 99 } })).toStartWith(
      "usage: --links 99",
    );
    expect(refusal(web, { link: { relays: ["http://r.example"] } })).toContain("--insecure");
  });

  test("is one line for whoever has room for one only", () => {
    expect(refusal("links: 0\ntransport: x\ntunnels: {web: {http: 0}}", {})).toEndWith(
      "give a whole number from 1 to 8. (and 2 more)",
    );
  });
});
