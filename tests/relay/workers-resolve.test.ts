import { describe, expect, test } from "bun:test";
import { workersConfig } from "../../relay/runtimes/workers-config.ts";
import { type DnsOverHttpsOptions, dnsOverHttps } from "../../relay/runtimes/workers-resolve.ts";

const records = (type: number, ...texts: readonly string[]) => texts.map((data) => ({ type, data }));
const answer = (Status: number, Answer?: readonly object[]) => Response.json({ Status, Answer });
const nothing = () => answer(0);

/** Asks a name service that answers the two questions so. */
function resolver(
  { A = nothing, AAAA = nothing }: Partial<Record<"A" | "AAAA", () => Response | Promise<Response>>>,
  options: Partial<DnsOverHttpsOptions> = {},
) {
  const asked: string[] = [];
  const ask: DnsOverHttpsOptions["ask"] = async (url, init) => {
    asked.push(`${url.href} ${new Headers(init.headers).get("accept")} ${init.redirect}`);
    const answering = url.searchParams.get("type") === "A" ? A() : AAAA();
    const ended = new Promise<never>((_, reject) =>
      init.signal?.addEventListener("abort", () => reject(init.signal?.reason)),
    );
    return Promise.race([answering, ended]);
  };
  const url = "https://dns.example/dns-query";
  return { asked, resolve: dnsOverHttps({ url, ask, isOwnName: () => false, ...options }) };
}

describe("DNS over HTTPS", () => {
  test("asks for both families, and gives them in turns", async () => {
    const { asked, resolve } = resolver({
      A: () => answer(0, [...records(5, "b.example."), ...records(1, "192.0.2.1", "192.0.2.2", "192.0.2.3")]),
      AAAA: () => answer(0, records(28, "2001:db8::1")),
    });
    expect(await resolve("a.example")).toEqual(["192.0.2.1", "2001:db8::1", "192.0.2.2", "192.0.2.3"]);
    const question = "https://dns.example/dns-query?name=a.example&type=";
    expect(asked).toEqual([
      `${question}A application/dns-json manual`,
      `${question}AAAA application/dns-json manual`,
    ]);
  });

  test("takes records of the type that was asked for only", async () => {
    const { resolve } = resolver({ A: () => answer(0, [...records(28, "::1"), ...records(1, "192.0.2.1")]) });
    expect(await resolve("a.example")).toEqual(["192.0.2.1"]);
  });

  test("takes 64 addresses of a family at most", async () => {
    const many = Array.from({ length: 200 }, (_, at) => `192.0.2.${at}`);
    const { resolve } = resolver({ A: () => answer(0, records(1, ...many)) });
    expect(await resolve("a.example")).toHaveLength(64);
  });

  test("is not asked for localhost, nor for the relay's own names", async () => {
    const { asked, resolve } = resolver({}, { isOwnName: (name) => /^(?:.*\.)?relay\.example$/.test(name) });
    for (const name of ["localhost", "a.localhost"])
      expect(await resolve(name)).toEqual(["127.0.0.1", "::1"]);
    for (const name of ["relay.example", "blue.relay.example"])
      await expect(resolve(name)).rejects.toMatchObject({ code: "egress-denied" });
    expect(asked).toEqual([]);
  });

  test("knows a name that is not there from one that nobody can tell about", async () => {
    const missing = resolver({ A: () => answer(3), AAAA: () => answer(3) });
    await expect(missing.resolve("a.example")).rejects.toMatchObject({ code: "origin-not-found" });
    await expect(resolver({}).resolve("a.example")).rejects.toMatchObject({ code: "origin-not-found" });
  });

  const useless: readonly (readonly [string, () => Response | Promise<Response>])[] = [
    ["SERVFAIL", () => answer(2)],
    ["an answer in another form", () => Response.json({ answers: [] })],
    ["no JSON", () => new Response("<html>")],
    ["a status of HTTP", () => Response.json({ Status: 0, Answer: [] }, { status: 500 })],
    ["a redirect", () => new Response(null, { status: 302, headers: { Location: "https://x.example/" } })],
    ["nobody there", () => Promise.reject(new TypeError("refused"))],
  ];
  test.each(useless)("%s is no answer, and does not spoil the other family's", async (_, spoilt) => {
    const none = resolver({ A: spoilt, AAAA: spoilt });
    await expect(none.resolve("a.example")).rejects.toMatchObject({ code: "origin-unreachable" });
    const one = resolver({ A: spoilt, AAAA: () => answer(0, records(28, "2001:db8::1")) });
    expect(await one.resolve("a.example")).toEqual(["2001:db8::1"]);
    const silent = resolver({ A: spoilt });
    await expect(silent.resolve("a.example")).rejects.toMatchObject({ code: "origin-unreachable" });
  });

  test("reads no more of an answer than 64 KiB and what is under way", async () => {
    let given = 0;
    let isCancelled = false;
    const endless = () =>
      new Response(
        new ReadableStream({
          pull(controller) {
            given += 4_096;
            controller.enqueue(new Uint8Array(4_096).fill(32));
          },
          cancel() {
            isCancelled = true;
          },
        }),
      );
    const { resolve } = resolver({ A: endless });
    await expect(resolve("a.example")).rejects.toMatchObject({ code: "origin-unreachable" });
    expect([given < 131_072, isCancelled]).toEqual([true, true]);
  });

  test("does not wait for ever", async () => {
    const never = () => new Promise<Response>(() => {});
    const late = resolver({ A: never }, { timeoutMs: 20 });
    await expect(late.resolve("a.example")).rejects.toMatchObject({ code: "origin-timeout" });
    const half = resolver({ A: never, AAAA: () => answer(0, records(28, "2001:db8::1")) }, { timeoutMs: 20 });
    expect(await half.resolve("a.example")).toEqual(["2001:db8::1"]);
  });
});

describe("UNDERPASS_DNS_URL", () => {
  const secret = { UNDERPASS_SECRET: "x".repeat(32) };

  test("is Cloudflare's where nothing is said", () => {
    expect(workersConfig(secret).dnsUrl).toBe("https://cloudflare-dns.com/dns-query");
  });

  test.each(["https://dns.google/resolve", "http://127.0.0.1:8053/dns-query", "http://[::1]/x"])(
    "can be %s",
    (url) => {
      expect(workersConfig({ ...secret, UNDERPASS_DNS_URL: url }).dnsUrl).toBe(url);
    },
  );

  test.each([
    ...["http://dns.example/dns-query", "dns.example", "ftp://127.0.0.1/", "https://me:x@dns.example/"],
    ...["https://dns.example/?name=a", "https://dns.example/#a"],
  ])("can't be %s", (url) => {
    expect(() => workersConfig({ ...secret, UNDERPASS_DNS_URL: url })).toThrow("UNDERPASS_DNS_URL");
  });
});
