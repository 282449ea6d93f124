import { describe, expect, test } from "bun:test";
import { forwardRequest, rewriteResponse } from "../../relay/forwarded.ts";

const arrival = { remote: "192.0.2.7:5555", scheme: "http" } as const;
const ours = [
  "X-Forwarded-For",
  "192.0.2.7",
  "X-Forwarded-Host",
  "blue.localhost:8787",
  "X-Forwarded-Proto",
  "http",
  "Forwarded",
  'for=192.0.2.7;host="blue.localhost:8787";proto=http',
];

describe("forwardRequest", () => {
  test("keeps case, order and duplicates, and appends ours", () => {
    const fields = ["Host", "blue.localhost:8787", "x-A", "1", "X-a", "2", "Cookie", "a", "Cookie", "b"];
    expect(forwardRequest({ fields }, arrival)).toEqual([...fields, ...ours]);
  });

  test.each([
    "Forwarded",
    "FORWARDED",
    "X-Forwarded-For",
    "x-forwarded-for",
    "X_Forwarded_For",
    "X-FORWARDED_PROTO",
    "X-Forwarded-Prefix",
    "X-Forwarded-Client-Cert",
    "X-Forwarded",
    "X-Real-IP",
    "x_real_ip",
    "Underpass-Error",
    "underpass_subject",
  ])("a visitor can't forge %s", (name) => {
    const fields = [name, "evil", "Host", "blue.localhost:8787", name, "evil"];
    expect(forwardRequest({ fields }, arrival)).toEqual(["Host", "blue.localhost:8787", ...ours]);
  });

  test.each([
    "X-Forward",
    "X-Real-Ip2",
    "Forwarded2",
    "From",
    "User-Agent",
    "Underpass",
    "Upgrade",
    "X-Requested-With",
  ])("%s is the visitor's own and stays", (name) => {
    expect(forwardRequest({ fields: [name, "v"] }, arrival).slice(0, 2)).toEqual([name, "v"]);
  });

  test.each([
    ["[2001:db8::1]:80", "2001:db8::1", 'for="[2001:db8::1]"'],
    ["[::ffff:192.0.2.1]:80", "192.0.2.1", "for=192.0.2.1"],
    ["10.0.0.1:1", "10.0.0.1", "for=10.0.0.1"],
  ])("the visitor %s is written as %s and %s", (remote, address, node) => {
    const fields = forwardRequest({ fields: [] }, { remote, scheme: "https" });
    expect(fields).toEqual([
      "X-Forwarded-For",
      address,
      "X-Forwarded-Proto",
      "https",
      "Forwarded",
      `${node};proto=https`,
    ]);
  });

  test("a visitor who is not known gets no address", () => {
    const fields = forwardRequest({ fields: ["Host", "h"] }, { remote: "", scheme: "http" });
    expect(fields).not.toContain("X-Forwarded-For");
    expect(fields.at(-1)).toBe("for=unknown;host=h;proto=http");
  });

  test("a Host can't add parameters to Forwarded", () => {
    const fields = forwardRequest({ fields: ["host", 'a";for=evil;x="\\'] }, arrival);
    expect(fields.at(-1)).toBe('for=192.0.2.7;host="a\\";for=evil;x=\\"\\\\";proto=http');
  });

  test("path routing tells its prefix", () => {
    const fields = forwardRequest(
      { fields: ["X-Forwarded-Prefix", "/evil"] },
      { ...arrival, prefix: "/~blue" },
    );
    expect(fields.filter((_, i) => fields[i - 1] === "X-Forwarded-Prefix")).toEqual(["/~blue"]);
  });
});

describe("rewriteResponse", () => {
  const host = "relay.example:8787";
  test.each([
    ["/", "/~blue/"],
    ["/a?b#c", "/~blue/a?b#c"],
    ["http://relay.example:8787/a", "http://relay.example:8787/~blue/a"],
    ["HTTPS://Relay.Example:8787/a", "HTTPS://Relay.Example:8787/~blue/a"],
    ["http://relay.example:8787", "http://relay.example:8787/~blue/"],
    ["http://relay.example:8787?q", "http://relay.example:8787/~blue/?q"],
    ["//relay.example:8787/a", "//relay.example:8787/~blue/a"],
    ["/~blue/a", "/~blue/a"],
    ["/~blue", "/~blue"],
    ["/~blue?x", "/~blue?x"],
    ["/~bluebird", "/~blue/~bluebird"],
    ["http://relay.example:8787/~blue/a", "http://relay.example:8787/~blue/a"],
  ])("Location %s becomes %s", (from, to) => {
    expect(rewriteResponse(["location", from], "/~blue", host)).toEqual(["location", to]);
  });

  test.each([
    "a/b",
    "../a",
    "?q",
    "#f",
    "",
    "http://other.example/",
    "http://relay.example/",
    "//other.example/a",
    "ftp://relay.example:8787/",
    "http://relay.example:8787@evil.example/",
    "http://relay.example:8787.evil.example/",
  ])("Location %p is left alone", (value) => {
    const fields = ["Location", value];
    expect(rewriteResponse(fields, "/~blue", host)).toBe(fields);
  });

  test.each([
    ["a=b; Path=/", "a=b; Path=/~blue/"],
    ["a=b; path=/x; Secure", "a=b; path=/~blue/x; Secure"],
    ["a=b;PATH = /x;Path=/y", "a=b;PATH =/~blue/x;Path=/~blue/y"],
    ["Path=/x", "Path=/x"],
    ["a=b", "a=b"],
    ["a=b; Path=", "a=b; Path="],
    ["a=b; Path=x", "a=b; Path=x"],
    ["a=b; Path=/~blue/", "a=b; Path=/~blue/"],
    ["__Host-a=b; Path=/; Secure", "__Host-a=b; Path=/; Secure"],
    ["__Secure-a=b; Path=/; Secure", "__Secure-a=b; Path=/~blue/; Secure"],
  ])("Set-Cookie %s becomes %s", (from, to) => {
    expect(rewriteResponse(["Set-Cookie", from], "/~blue", host)).toEqual(["Set-Cookie", to]);
  });

  test("each of several cookies is rewritten, in place, and the origin's fields are not changed", () => {
    const fields = ["A", "1", "set-cookie", "a=1; Path=/a", "SET-COOKIE", "b=1; Path=/b", "Location", "/c"];
    const before = fields.slice();
    expect(rewriteResponse(fields, "/~blue", host)).toEqual([
      "A",
      "1",
      "set-cookie",
      "a=1; Path=/~blue/a",
      "SET-COOKIE",
      "b=1; Path=/~blue/b",
      "Location",
      "/~blue/c",
    ]);
    expect(fields).toEqual(before);
  });
});
