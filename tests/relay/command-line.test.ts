import { describe, expect, test } from "bun:test";
import { parseRelayCommand } from "../../relay/command-line.ts";
import type { RelayOptions, TokenOptions } from "../../relay/options.ts";
import { parseProxy } from "../../relay/trusted-proxies.ts";
import { codes, UnderpassError } from "../../shared/errors.ts";

type Environment = Record<string, string | undefined>;

function serve(argv: string[], env: Environment = {}): RelayOptions {
  const parsed = parseRelayCommand(argv, env, "1.2.3");
  if (parsed.command !== "serve") throw new Error(`got ${parsed.command}`);
  return parsed.options;
}

function token(argv: string[], env: Environment = {}): TokenOptions {
  const parsed = parseRelayCommand(["token", ...argv], env, "1.2.3");
  if (parsed.command !== "token") throw new Error(`got ${parsed.command}`);
  return parsed.options;
}

function help(argv: string[]): string {
  const parsed = parseRelayCommand(argv, {}, "1.2.3");
  if (parsed.command !== "text") throw new Error(`got ${parsed.command}`);
  return parsed.text;
}

describe("the relay's command line", () => {
  test("without switches it serves this machine", () => {
    const defaults: RelayOptions = {
      listen: { host: "127.0.0.1", port: 8787 },
      reusePort: false,
      domains: ["localhost"],
      routing: "both",
      data: ".underpass",
      dataAsked: false,
      nameTtlMs: 86_400_000,
      memoryBytes: 536_870_912,
      resumeWindowMs: 60_000,
      graceMs: 30_000,
      quiet: false,
      json: false,
    };
    expect(serve([])).toEqual(defaults);
    expect(serve(["serve"])).toEqual(defaults);
  });

  // Each switch, and what its variable does (chisel CVE-2024-43798: one that was documented but never read).
  const switches: [string, string, string, Partial<RelayOptions>][] = [
    ["--listen", "[::]:0", "UNDERPASS_LISTEN", { listen: { host: "::", port: 0 } }],
    ["--domain", "Tunnels.Example.", "UNDERPASS_DOMAIN", { domains: ["tunnels.example"] }],
    [
      "--public-url",
      "https://relay.example:443/",
      "UNDERPASS_PUBLIC_URL",
      { publicUrl: "https://relay.example" },
    ],
    ["--routing", "path", "UNDERPASS_ROUTING", { routing: "path" }],
    ["--trust-proxy", "127.0.0.1", "UNDERPASS_TRUST_PROXY", { trustedProxies: [parseProxy("127.0.0.1")] }],
    ["--secret-file", "key.txt", "UNDERPASS_SECRET_FILE", { secretFile: "key.txt" }],
    ["--data", "/var/x", "UNDERPASS_DATA", { data: "/var/x", dataAsked: true }],
    ["--name-ttl", "7d", "UNDERPASS_NAME_TTL", { nameTtlMs: 604_800_000 }],
    ["--memory", "64MiB", "UNDERPASS_MEMORY", { memoryBytes: 67_108_864 }],
    ["--grace", "0", "UNDERPASS_GRACE", { graceMs: 0 }],
    ["--resume-window", "5m", "UNDERPASS_RESUME_WINDOW", { resumeWindowMs: 300_000 }],
    ["--tcp-ports", "20000-20999", "UNDERPASS_TCP_PORTS", { tcpPorts: { low: 20_000, high: 20_999 } }],
    ["--tcp-ports", "[::]:7-9", "UNDERPASS_TCP_PORTS", { tcpPorts: { low: 7, high: 9, host: "::" } }],
    ["--udp-ports", "53", "UNDERPASS_UDP_PORTS", { udpPorts: { low: 53, high: 53 } }],
    ["--tls-listen", "0.0.0.0:443", "UNDERPASS_TLS_LISTEN", { tlsListen: { host: "0.0.0.0", port: 443 } }],
  ];
  test.each(switches)("%s %s, or %s, is taken", (name, value, variable, expected) => {
    expect(serve([name, value])).toMatchObject(expected);
    expect(serve([`${name}=${value}`])).toMatchObject(expected);
    expect(serve([], { [variable]: value })).toMatchObject(expected);
    expect(serve([name, value], { [variable]: "nonsense of the environment" })).toMatchObject(expected);
    expect(serve([], { [variable]: "" })).toEqual(serve([]));
    expect(help(["--help"])).toContain(name);
    expect(help(["--help"])).toContain(variable);
  });

  // Of a relay that is one of several.
  const secret = "a key of at least thirty-two bytes";
  const clusterOf = (argv: string[], env: Environment = {}) =>
    serve(argv, { UNDERPASS_SECRET: secret, ...env }).cluster;
  const bus = "nats://nats.example:4222";
  const cluster = { urls: [bus], name: "underpass" };
  const clusterSwitches: [string, string, string, RelayOptions["cluster"]][] = [
    [
      "--cluster-credentials",
      "relay.creds",
      "UNDERPASS_CLUSTER_CREDENTIALS",
      { ...cluster, credentialsFile: "relay.creds" },
    ],
    ["--cluster-name", "blue-2", "UNDERPASS_CLUSTER_NAME", { ...cluster, name: "blue-2" }],
    [
      "--advertise",
      "http://10.0.0.1:8787/",
      "UNDERPASS_ADVERTISE",
      { ...cluster, advertise: "http://10.0.0.1:8787" },
    ],
    [
      "--advertise",
      "https://[2001:db8::1]:0",
      "UNDERPASS_ADVERTISE",
      { ...cluster, advertise: "https://[2001:db8::1]:0" },
    ],
  ];
  test.each(clusterSwitches)("%s %s, or %s, is taken with --cluster", (name, value, variable, expected) => {
    expect(clusterOf(["--cluster", bus, name, value])).toEqual(expected);
    expect(clusterOf([], { UNDERPASS_CLUSTER: bus, [variable]: value })).toEqual(expected);
    expect(clusterOf(["--cluster", bus], { [variable]: "" })).toEqual(cluster);
    expect(() => clusterOf([name, value])).toThrow(`${name} is of a relay with --cluster.`);
    expect(() => clusterOf([], { [variable]: value })).toThrow("--cluster");
    for (const text of [name, variable]) expect(help(["--help"])).toContain(text);
  });

  test("--cluster may be repeated, and its addresses have commas between them", () => {
    const both = { ...cluster, urls: [bus, "tls://b.example"] };
    expect(clusterOf(["--cluster", "wss://nats.example:443/"])?.urls).toEqual(["wss://nats.example:443"]);
    expect(clusterOf(["--cluster", bus, "--cluster", "tls://b.example/"])).toEqual(both);
    expect(clusterOf(["--cluster", `${bus},tls://b.example`])).toEqual(both);
    expect(clusterOf([], { UNDERPASS_CLUSTER: `${bus}, tls://b.example` })).toEqual(both);
    expect(clusterOf(["--cluster", bus], { UNDERPASS_CLUSTER: "nats://other" })).toEqual(cluster);
  });

  test("a password of the bus stands in the variable or a file, never on the command line or in a message", () => {
    const urls = ["nats://me:pass-word@nats.example", "nats://a-token@nats.example:4222"];
    expect(clusterOf([], { UNDERPASS_CLUSTER: urls.join() })?.urls).toEqual(urls);
    for (const url of urls) expect(() => clusterOf(["--cluster", url])).toThrow("UNDERPASS_CLUSTER");
    const wrong = [
      () => clusterOf([], { UNDERPASS_CLUSTER: "http://me:pass-word@nats.example" }),
      () => clusterOf([], { UNDERPASS_CLUSTER: "nats://me:pass-word,with-comma@nats.example" }),
      () => clusterOf(["--cluster", "http://me:pass-word@nats.example"]),
      () => clusterOf(["--cluster", bus, "--advertise", "http://me:pass-word@10.0.0.1"]),
      () => clusterOf([], { UNDERPASS_CLUSTER: "nats://me:pass-word@h", UNDERPASS_CLUSTER_CREDENTIALS: "f" }),
    ];
    for (const make of wrong) {
      expect(make).toThrow(UnderpassError);
      expect(make).not.toThrow("pass-word");
    }
  });

  test("relays of a cluster have a key that was given to them: one that each made would be its own", () => {
    expect(() => serve(["--cluster", bus])).toThrow("--secret-file or UNDERPASS_SECRET");
    expect(serve(["--cluster", bus, "--secret-file", "f"]).cluster).toEqual(cluster);
  });

  test.each([
    ["--cluster", "nats.example:4222"],
    ["--cluster", "http://nats.example"],
    ["--cluster", "nats://"],
    ["--cluster", "nats://h/path"],
    ["--cluster", "nats://h?x=1"],
    ["--cluster", "nats://h:65536"],
    ["--cluster", `${bus},`],
    ["--cluster-name", "Blue"],
    ["--cluster-name", "a".repeat(33)],
    ["--cluster-name", "a.b"],
    ["--advertise", "10.0.0.1:8787"],
    ["--advertise", "ws://10.0.0.1"],
    ["--advertise", "http://10.0.0.1/path"],
    ["--advertise", "http://10.0.0.1?x"],
    ["--advertise", "http://0.0.0.0:8787"],
    ["--advertise", "http://[::]:8787"],
  ])("%s %p is bad usage in a cluster, exit 2", (name, value) => {
    const argv = name === "--cluster" ? [name, value] : ["--cluster", bus, name, value];
    expect(() => clusterOf(argv)).toThrow(name);
    expect(() => clusterOf(argv)).toThrow(UnderpassError);
  });

  test("switches without a value are taken, and so are their variables", () => {
    expect(serve(["--json"]).json).toBe(true);
    expect(serve(["--quiet"]).quiet).toBe(true);
    expect(serve(["--reuse-port"]).reusePort).toBe(true);
    expect(serve([], { UNDERPASS_REUSE_PORT: "1" }).reusePort).toBe(true);
    for (const text of ["--reuse-port", "UNDERPASS_REUSE_PORT"]) expect(help(["--help"])).toContain(text);
    expect(serve([], { UNDERPASS_JSON: "1" }).json).toBe(true);
    expect(serve([], { UNDERPASS_JSON: "false" }).json).toBe(false);
    expect(() => serve([], { UNDERPASS_JSON: "perhaps" })).toThrow("UNDERPASS_JSON");
  });

  test("UNDERPASS_SECRET is the key itself, and not given together with a file", () => {
    expect(serve([], { UNDERPASS_SECRET: "s" }).secretText).toBe("s");
    expect(token(["--sub", "a"], { UNDERPASS_SECRET: "s" }).secretText).toBe("s");
    expect(() => serve(["--secret-file", "f"], { UNDERPASS_SECRET: "s" })).toThrow("not both");
  });

  test("--domain may be repeated, and has commas in its variable", () => {
    expect(serve(["--domain", "a.example", "--domain", "b.example"]).domains).toEqual([
      "a.example",
      "b.example",
    ]);
    expect(serve([], { UNDERPASS_DOMAIN: "a.example, b.example" }).domains).toEqual([
      "a.example",
      "b.example",
    ]);
  });

  test("--trust-proxy may be repeated, and has commas in its variable", () => {
    const both = [parseProxy("127.0.0.1"), parseProxy("10.0.0.0/8")];
    expect(serve(["--trust-proxy", "127.0.0.1", "--trust-proxy", "10.0.0.0/8"]).trustedProxies).toEqual(both);
    expect(serve([], { UNDERPASS_TRUST_PROXY: "127.0.0.1, 10.0.0.0/8" }).trustedProxies).toEqual(both);
  });

  test.each([
    ["--listen", "8787"],
    ["--listen", "127.0.0.1:65536"],
    ["--listen", "::1:80"],
    ["--listen", "a b:80"],
    ["--listen", "*:80"],
    ["--domain", "a.example:80"],
    ["--domain", "http://a.example"],
    ["--domain", "*.a.example"],
    ["--domain", "127.0.0.1"],
    ["--domain", ""],
    ["--public-url", "relay.example"],
    ["--public-url", "ftp://relay.example"],
    ["--public-url", "https://relay.example/path"],
    ["--public-url", "https://u:p@relay.example"],
    ["--routing", "dns"],
    ["--trust-proxy", "localhost"],
    ["--name-ttl", "24"],
    ["--memory", "1M"],
    ["--memory", "1MiB"],
    ["--grace", "-1s"],
    ["--wat", "x"],
    ["--tcp-ports", "0-2"],
    ["--tcp-ports", "2-1"],
    ["--tcp-ports", "1-65536"],
    ["--udp-ports", "53,54"],
    ["--udp-ports", "-53"],
    ["--tls-listen", "443"],
    ["--tls-cert", "x"],
    ["--jwks", "x"],
    ["--secret", "x"],
    ["bogus", ""],
    ["serve", "extra"],
  ])("%s %p is bad usage, exit 2", (name, value) => {
    try {
      serve([name, value]);
    } catch (error) {
      expect(error).toBeInstanceOf(UnderpassError);
      const { code, message } = error as UnderpassError;
      expect(codes[code].exit).toBe(2);
      expect(message).not.toContain("error:");
      if (name.startsWith("--")) expect(message).toContain(name);
      return;
    }
    throw new Error("was accepted");
  });

  test("a switch of a later version is refused in the environment too, rather than ignored", () => {
    expect(() => serve([], { UNDERPASS_JWKS: "keys.json" })).toThrow("UNDERPASS_JWKS");
  });

  test("token takes all that a token can grant", () => {
    const argv = ["--sub", "ci", "--name", "pr-*", "--name", "main", "--kind", "http", "--kind", "tcp"];
    argv.push("--connect", "db", "--egress", "10.0.0.0/8:443", "--ttl", "12h", "--admin", "--data", "d");
    expect(token(argv)).toEqual({
      subject: "ci",
      names: ["pr-*", "main"],
      kinds: ["http", "tcp"],
      connect: ["db"],
      egress: ["10.0.0.0/8:443"],
      admin: true,
      ttlMs: 43_200_000,
      data: "d",
    });
    expect(token(["--sub", "a"])).toEqual({ subject: "a", ttlMs: 2_592_000_000, data: ".underpass" });
  });

  test("--connect takes names, no globs, and says so", () => {
    for (const wrong of ["b*", "Box", ""])
      expect(() => token(["--sub", "a", "--connect", "db", "--connect", wrong])).toThrow("--connect: ");
  });

  test("a pattern of egress is looked at when the token is made, not when it is used", () => {
    for (const wrong of ["x", "a:b", "10.0.0.0/33:1", "http://a:1", "10.0.0.1/8:1"])
      expect(() => token(["--sub", "a", "--egress", wrong])).toThrow("--egress: ");
    const env = { UNDERPASS_EGRESS: "*.example:80,443, 10.0.0.0/8:22-24,[2001:db8::]/32:1" };
    expect(token(["--sub", "a"], env).egress).toEqual([
      "*.example:80,443",
      "10.0.0.0/8:22-24",
      "[2001:db8::]/32:1",
    ]);
  });

  test("each switch of token has its variable", () => {
    const env = {
      UNDERPASS_SUB: "ci",
      UNDERPASS_NAME: "a,b",
      UNDERPASS_KIND: "udp",
      UNDERPASS_CONNECT: "db",
      UNDERPASS_EGRESS: "*:443",
      UNDERPASS_ADMIN: "1",
      UNDERPASS_TTL: "1h",
      UNDERPASS_SECRET_FILE: "f",
      UNDERPASS_DATA: "d",
    };
    expect(token([], env)).toEqual({
      subject: "ci",
      names: ["a", "b"],
      kinds: ["udp"],
      connect: ["db"],
      egress: ["*:443"],
      admin: true,
      ttlMs: 3_600_000,
      secretFile: "f",
      data: "d",
    });
    const shown = help(["token", "--help"]);
    for (const variable of Object.keys(env)) expect(shown).toContain(variable);
  });

  test.each([[[]], [["--sub", ""]], [["--sub", "a", "--kind", "ftp"]], [["--sub", "a", "--ttl", "0"]]])(
    "token %j is bad usage",
    (argv) => {
      expect(() => token(argv)).toThrow(UnderpassError);
    },
  );

  test.each<[string[], Environment, string]>([
    [[], {}, "http://127.0.0.1:8787"],
    [["--listen", "0.0.0.0:80"], {}, "http://127.0.0.1:80"],
    [["--listen=[::]:80"], { UNDERPASS_LISTEN: "10.0.0.1:1" }, "http://::1:80"],
    [[], { UNDERPASS_LISTEN: "10.0.0.1:443", UNDERPASS_TLS_CERT: "c" }, "https://10.0.0.1:443"],
    [["--tls-cert", "c"], { UNDERPASS_TLS_KEY: "k" }, "https://127.0.0.1:8787"],
  ])("health %j with %j asks at %s: the relay takes the same switches", (argv, env, place) => {
    const parsed = parseRelayCommand(["health", ...argv], env, "1.2.3");
    if (parsed.command !== "health") throw new Error(`got ${parsed.command}`);
    const { scheme, host, port } = parsed.options;
    expect(`${scheme}://${host}:${port}`).toBe(place);
  });

  test.each([[["--listen", "127.0.0.1:0"]], [["--listen", "80"]], [["--data", "d"]], [["now"]]])(
    "health %j is bad usage",
    (argv) => {
      expect(() => parseRelayCommand(["health", ...argv], {}, "1.2.3")).toThrow(UnderpassError);
    },
  );

  test("--help shows each switch with an example, and --version the version", () => {
    const shown = help(["--help"]);
    const examples = shown.slice(shown.indexOf("Examples:"));
    for (const [name] of switches) expect(examples).toContain(name);
    for (const [name] of clusterSwitches) expect(examples).toContain(name);
    for (const name of ["--json", "--cluster "]) expect(examples).toContain(name);
    const ofToken = help(["token", "--help"]);
    const tokenExamples = ofToken.slice(ofToken.indexOf("Examples:"));
    for (const name of [
      "--sub",
      "--name",
      "--kind",
      "--connect",
      "--egress",
      "--admin",
      "--ttl",
      "--secret-file",
    ]) {
      expect(tokenExamples).toContain(name);
    }
    expect(tokenExamples).toContain("--data");
    const ofHealth = help(["health", "--help"]);
    for (const name of ["--listen", "--tls-cert", "UNDERPASS_TLS_CERT", "Examples:"])
      expect(ofHealth).toContain(name);
    expect(help(["--version"])).toBe("1.2.3\n");
    expect(help(["help", "token"])).toBe(ofToken);
  });
});
