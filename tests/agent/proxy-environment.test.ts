import { describe, expect, test } from "bun:test";
import { chooseProxy, type Environment } from "../../agent/dial/proxy-environment.ts";
import { UnderpassError } from "../../shared/errors.ts";

const relay = { host: "relay.example", port: 443, secure: true };
const plain = { host: "relay.example", port: 80, secure: false };

function fault(environment: Environment): UnderpassError {
  try {
    chooseProxy(relay, environment);
  } catch (error) {
    if (error instanceof UnderpassError) return error;
  }
  throw new Error("no UnderpassError");
}

describe("the proxy of the environment", () => {
  const named: [string, Environment, string | undefined, string | undefined][] = [
    ["nothing", {}, undefined, undefined],
    ["HTTPS_PROXY", { HTTPS_PROXY: "http://a:1" }, "a:1", undefined],
    ["https_proxy", { https_proxy: "http://a:1" }, "a:1", undefined],
    ["HTTP_PROXY", { HTTP_PROXY: "http://a:1" }, undefined, "a:1"],
    ["http_proxy", { http_proxy: "http://a:1" }, undefined, "a:1"],
    ["ALL_PROXY", { ALL_PROXY: "http://a:1" }, "a:1", "a:1"],
    ["all_proxy", { all_proxy: "http://a:1" }, "a:1", "a:1"],
    ["both cases", { HTTPS_PROXY: "http://a:1", https_proxy: "http://b:2" }, "b:2", undefined],
    ["one for each", { HTTPS_PROXY: "http://a:1", HTTP_PROXY: "http://b:2" }, "a:1", "b:2"],
    ["its own before ALL_PROXY", { HTTPS_PROXY: "http://a:1", all_proxy: "http://b:2" }, "a:1", "b:2"],
    ["an empty one and ALL_PROXY", { https_proxy: "", ALL_PROXY: "http://b:2" }, "b:2", "b:2"],
    ["one without a scheme", { ALL_PROXY: "a.example:3128" }, "a.example:3128", "a.example:3128"],
    ["one without a port", { ALL_PROXY: "http://a" }, "a:80", "a:80"],
    ["one with spaces around and a path", { ALL_PROXY: " HTTP://A:8080/ " }, "a:8080", "a:8080"],
    ["one by IPv6", { ALL_PROXY: "http://[2001:db8::1]:3128" }, "2001:db8::1:3128", "2001:db8::1:3128"],
  ];
  test.each(named)("with %s set", (_, environment, secure, other) => {
    const shown = (target: typeof relay) => {
      const proxy = chooseProxy(target, environment);
      return proxy && `${proxy.host}:${proxy.port}`;
    };
    expect([shown(relay), shown(plain)]).toEqual([secure, other]);
  });

  test("logs in as its URL says, percent signs decoded", () => {
    const login = (url: string) => chooseProxy(relay, { HTTPS_PROXY: url })?.authorization;
    const basic = (text: string) => `Basic ${Buffer.from(text).toString("base64")}`;
    expect(login("http://a:1")).toBeUndefined();
    expect(login("http://ada:secret@a:1")).toBe(basic("ada:secret"));
    expect(login("ada:p%40ss%3Aw%C3%B6rd@a:1")).toBe(basic("ada:p@ss:wörd"));
    expect(login("http://ada@a:1")).toBe(basic("ada:"));
  });

  const wrong: [string, string][] = [
    ["socks5://ada:secret@proxy:1080", "HTTPS_PROXY names a proxy that is spoken to in socks5."],
    ["https://ada:secret@proxy:443", "HTTPS_PROXY names a proxy that is spoken to in https."],
    ["http://ada:secret@proxy:123456", "HTTPS_PROXY is not the URL of a proxy."],
    ["http://ada:secret@", "HTTPS_PROXY is not the URL of a proxy."],
    ["http://ada:secret%@proxy", "HTTPS_PROXY is not the URL of a proxy."],
    ["http://a%3Ada:secret@proxy", "HTTPS_PROXY is not the URL of a proxy."],
  ];
  test.each(wrong)("that is %s is refused, and not repeated", (value, message) => {
    const error = fault({ HTTPS_PROXY: value });
    expect([error.code, error.message.startsWith(message)]).toEqual(["usage", true]);
    expect(error.message).not.toContain("secret");
    // It may be meant for others: whom it is not for is not troubled.
    expect(chooseProxy(plain, { HTTPS_PROXY: value })).toBeUndefined();
    expect(chooseProxy(relay, { HTTPS_PROXY: value, NO_PROXY: "relay.example" })).toBeUndefined();
  });
});

describe("no proxy", () => {
  const straight = (host: string, port: number, list: Environment) =>
    chooseProxy({ host, port, secure: true }, { HTTPS_PROXY: "http://proxy:3128", ...list }) === undefined;

  test.each([
    "localhost",
    "LOCALHOST",
    "localhost.",
    "relay.localhost",
    "127.0.0.1",
    "127.255.0.3",
    "::1",
    "0:0:0:0:0:0:0:1",
    "::ffff:127.0.0.1",
    "2130706433",
  ])("is asked for %s, which is this machine", (host) => {
    expect(straight(host, 8787, {})).toBe(true);
  });

  const listed: [string, string, boolean][] = [
    ["relay.example", "relay.example", true],
    ["example", "relay.example", true],
    [".example", "relay.example", true],
    ["*.example", "relay.example", true],
    [".relay.example", "relay.example", true],
    ["RELAY.Example.", "relay.example", true],
    ["relay.example", "relay.example.", true],
    ["lay.example", "relay.example", false],
    ["a.relay.example", "relay.example", false],
    ["*", "relay.example", true],
    ["*", "203.0.113.9", true],
    ["other.example, relay.example", "relay.example", true],
    ["other.example relay.example", "relay.example", true],
    ["other.example,,", "relay.example", false],
    ["", "relay.example", false],
    [".", "relay.example", false],
    ["relay.example:443", "relay.example", true],
    ["relay.example:8443", "relay.example", false],
    ["203.0.113.9", "203.0.113.9", true],
    ["203.0.113.9:443", "203.0.113.9", true],
    ["203.0.113.9:80", "203.0.113.9", false],
    ["203.0.113.0/24", "203.0.113.9", true],
    ["203.0.113.0/24:443", "203.0.113.9", true],
    ["203.0.114.0/24", "203.0.113.9", false],
    ["203.0.113.0/99", "203.0.113.9", false],
    ["113.9", "203.0.113.9", false],
    ["0.0.0.0/0", "relay.example", false],
    ["2001:db8::/32", "2001:db8::7", true],
    ["2001:db8::7", "2001:db8:0::7", true],
    ["[2001:db8::7]", "2001:db8::7", true],
    ["[2001:db8::7]:443", "2001:db8::7", true],
    ["[2001:db8::7]:80", "2001:db8::7", false],
    ["::/0", "203.0.113.9", false],
  ];
  test.each(listed)("where NO_PROXY is %p, for %s: %p", (list, host, expected) => {
    expect(straight(host, 443, { NO_PROXY: list })).toBe(expected);
    expect(straight(host, 443, { no_proxy: list })).toBe(expected);
  });

  test("in lower case comes before NO_PROXY", () => {
    expect(straight("relay.example", 443, { NO_PROXY: "*", no_proxy: "other" })).toBe(false);
  });
});
