import { describe, expect, test } from "bun:test";
import { as, exposed, options, refusal } from "./given-options.ts";

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
    const warnings = (words: string) => options(`private 22 --allow-egress a:1 ${words}`).face.warnings;
    expect(warnings("").join()).toContain("Without --relay");
    expect(warnings("--relay https://r.example")).toEqual([]);
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
      expect(exposed(`--port 1 --relay ${relay}`).link.relays?.[0]?.href).toBe(new URL(relay).href);
    }
    expect(refusal("--port 1 --relay http://r.example").code).toBe("insecure-relay");
    expect(refusal("--port 1 --relay http://127.0.0.1.evil.example").code).toBe("insecure-relay");
    expect(exposed("--port 1 --relay http://r.example --insecure").link.insecure).toBe(true);
  });

  test("several relays are places to begin with, in their order", () => {
    const hosts = (words: string, env = {}) => exposed(words, env).link.relays?.map(({ host }) => host);
    expect(hosts("--port 1 --relay https://a.example --relay https://b.example:1")).toEqual([
      "a.example",
      "b.example:1",
    ]);
    const env = { UNDERPASS_RELAY: "https://a.example, https://b.example:1" };
    expect(hosts("--port 1", env)).toEqual(["a.example", "b.example:1"]);
    expect(hosts("--port 1 --relay https://c.example", env)).toEqual(["c.example"]);
    expect(refusal("--port 1 --relay https://a.example --relay http://b.example").code).toBe(
      "insecure-relay",
    );
    expect(refusal(`--port 1 ${"--relay https://a.example ".repeat(9)}`).message).toContain("1 to 8");
  });

  test.each(["r.example", "ws://r", "https://r/x", "https://u:p@r"])("--relay %s is refused", (relay) => {
    expect(refusal(`--port 1 --relay ${relay}`).code).toBe("usage");
    expect(refusal(`connect a --stdio --relay ${relay}`).code).toBe("usage");
  });

  test("a complaint about an address does not repeat a login or a query, as logs are read by others", () => {
    for (const words of [
      "--port 1 --relay ws://me:s3cret@r.example",
      "--port 1 --relay https://me:s3c/ret@r.example:x",
      "--port 1 --relay https://r.example/?token=s3cret",
      "http http://me:s3cret@box",
      "tcp tcp://me:s3cret@box:1",
    ])
      expect(refusal(words).message).not.toMatch(/s3c|ret@|cret/);
    expect(refusal("--port 1", { UNDERPASS_RELAY: "ws://me:s3cret@r" }).message).toContain('"ws://...@r"');
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
