import { describe, expect, test } from "bun:test";
import { UnderpassError } from "../../shared/errors.ts";
import { resolveLimits } from "../../shared/resolve.ts";
import { type Look, nodeResolve } from "../../shared/runtimes/node-resolve.ts";

const failing = (code: string): Look => {
  return (_host, _options, done) => done(Object.assign(new Error("of the system"), { code }), []);
};

async function codeOf(look: Promise<unknown>): Promise<string> {
  const error = await look.catch((caught: unknown) => caught);
  return error instanceof UnderpassError ? error.code : `resolved to ${error}`;
}

describe("a look-up", () => {
  test("gives all addresses in the system's order", async () => {
    const asked: unknown[] = [];
    const resolve = nodeResolve((host, options, done) => {
      asked.push(host, options);
      done(null, [{ address: "2606:4700::1" }, { address: "1.1.1.1" }]);
    });
    expect(await resolve("one.example")).toEqual(["2606:4700::1", "1.1.1.1"]);
    expect(asked).toEqual(["one.example", { all: true, order: "verbatim" }]);
  });

  test("of localhost is loopback in both families, and the system is not asked", async () => {
    const resolve = nodeResolve(failing("ENOTFOUND"));
    for (const host of ["localhost", "LocalHost", "a.localhost"])
      expect(await resolve(host)).toEqual(["127.0.0.1", "::1"]);
    expect(await codeOf(resolve("notlocalhost"))).toBe("origin-not-found");
  });

  test.each([
    ["ENOTFOUND", "origin-not-found"],
    ["ENODATA", "origin-not-found"],
    ["EAI_NONAME", "origin-not-found"],
    ["EAI_AGAIN", "origin-unreachable"],
    ["ESERVFAIL", "origin-unreachable"],
    ["ECONNREFUSED", "origin-unreachable"],
  ])("that fails with %s is told as %s", async (code, told) => {
    expect(await codeOf(nodeResolve(failing(code))("some.example"))).toBe(told);
  });

  test("of a name that is not there is told as that by the real resolver", async () => {
    expect(await codeOf(nodeResolve()("no-such-name.invalid"))).toStartWith("origin-");
    // Where there is no network it takes as long as it may.
  }, 20_000);

  test("that nobody answers ends in time, and counts until it is answered", async () => {
    const answers: (() => void)[] = [];
    const look: Look = (_host, _options, done) =>
      void answers.push(() => done(null, [{ address: "1.1.1.1" }]));
    const resolve = nodeResolve(look, { ...resolveLimits, timeoutMs: 1, maxUnderWay: 2 });
    expect(await codeOf(resolve("a.example"))).toBe("origin-timeout");
    expect(await codeOf(resolve("b.example"))).toBe("origin-timeout");
    expect(answers).toHaveLength(2);
    expect(await codeOf(resolve("c.example"))).toBe("origin-timeout");
    expect(answers).toHaveLength(2);
    answers[0]?.();
    const third = resolve("c.example");
    expect(answers).toHaveLength(3);
    answers[2]?.();
    expect(await third).toEqual(["1.1.1.1"]);
  });
});
