import { describe, expect, test } from "bun:test";
import { parseProxy, TrustedProxies } from "../../relay/trusted-proxies.ts";
import { UnderpassError } from "../../shared/errors.ts";

const proxies = new TrustedProxies(["127.0.0.1", "10.0.0.0/8", "2001:db8::/32"].map(parseProxy));

describe("trusted proxies", () => {
  test.each([
    ["127.0.0.1:80", true],
    ["127.0.0.2:80", false],
    ["[::ffff:127.0.0.1]:80", true],
    ["[::1]:80", false],
    ["10.255.0.1:80", true],
    ["[2001:db8::7]:80", true],
    ["", false],
  ])("are told by the address of a socket: %s", (remote, trusted) => {
    expect(proxies.has(remote)).toBe(trusted);
  });

  test.each<[string, string[], string | undefined]>([
    ["the last is whom the proxy saw", ["203.0.113.7, 198.51.100.2"], "198.51.100.2:0"],
    ["what a visitor made up stands before it", ["127.0.0.1, evil, 198.51.100.2"], "198.51.100.2:0"],
    ["proxies in a row are passed over", ["203.0.113.7,10.1.1.1 , 127.0.0.1"], "203.0.113.7:0"],
    ["several fields are one list", ["203.0.113.7", "10.1.1.1"], "203.0.113.7:0"],
    ["IPv6 with and without brackets and port", ["2001:470::1"], "[2001:470::1]:0"],
    ["IPv6 in brackets", ["[2001:470::1]:443"], "[2001:470::1]:0"],
    ["a port is no part of the address", ["203.0.113.7:4711"], "203.0.113.7:0"],
    ["a proxy that calls for itself", ["10.1.1.1"], "10.1.1.1:0"],
    ["nothing", [], undefined],
    ["an empty field", [""], undefined],
    ["nonsense in its place", ["203.0.113.7, unknown"], undefined],
    ["a name", ["localhost"], undefined],
  ])("X-Forwarded-For: %s", (_what, values, visitor) => {
    const fields = values.flatMap((value) => ["x-forwarded-FOR", value]);
    expect(proxies.visitorOf(["Host", "blue", ...fields, "X-Real-IP", "192.0.2.1"])).toBe(visitor as string);
  });

  test.each(["", "localhost", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/", "::/129", "1.2.3.4:80"])(
    "are no addresses or ranges: %j",
    (text) => {
      expect(() => parseProxy(text)).toThrow(UnderpassError);
    },
  );
});
