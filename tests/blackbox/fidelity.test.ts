import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { bodyCases } from "./fidelity/bodies.ts";
import { type FidelityCase, originSaw } from "./fidelity/case.ts";
import { headCases } from "./fidelity/heads.ts";
import { lifecycleCases } from "./fidelity/lifecycle.ts";
import { refusals } from "./fidelity/refusals.ts";
import { FidelityTable } from "./fidelity/table.ts";
import { targetCases } from "./fidelity/targets.ts";
import { testExcept } from "./programs/except.ts";
import { relayRuntime } from "./programs/relay.ts";
import { startTunnel, type Tunnel } from "./programs/tunnel.ts";
import { within } from "./programs/within.ts";
import type { Field } from "./raw/head.ts";
import { answerOk, RawOrigin } from "./raw/origin.ts";
import { type Target, Visitor, visit } from "./raw/visitor.ts";

const cases: readonly FidelityCase[] = [...targetCases, ...headCases, ...bodyCases, ...lifecycleCases];
const exchangeLimitMs = 10_000;
const testLimitMs = 30_000;

let origin: RawOrigin;
let tunnel: Tunnel;
const table = new FidelityTable();

beforeAll(async () => {
  origin = await RawOrigin.listen();
  tunnel = await startTunnel({ origin: origin.port });
}, testLimitMs);

afterAll(async () => {
  await tunnel?.close();
  await origin?.close();
  if (process.env["UNDERPASS_WRITE_DOCS"] === "1") await table.write();
});

/** The Host that the tunnel has, at the origin's own port. */
function direct(): Target {
  return { port: origin.port, host: tunnel.target.host };
}

/** The same with field names in lower case and in order, and what has one name in one field: all that Headers keeps. */
function joined(seen: unknown): unknown {
  if (Array.isArray(seen)) return seen.map(joined);
  if (typeof seen !== "object" || seen === null) return seen;
  const entries = Object.entries(seen).map(([key, value]) => [
    key,
    key === "fields" ? joinFields(value) : joined(value),
  ]);
  return Object.fromEntries(entries);
}

function joinFields(fields: readonly Field[]): Field[] {
  const values = new Map<string, string>();
  for (const [name, value] of fields) {
    // Cookies that were joined would be lost: each counts for itself.
    const cookie = name.toLowerCase() === "set-cookie";
    const key = cookie ? `set-cookie ${values.size}` : name.toLowerCase();
    const before = values.get(key);
    values.set(key, before === undefined ? value : `${before}, ${value}`);
  }
  return [...values].sort(([a], [b]) => (a < b ? -1 : 1));
}

function run(each: FidelityCase, target: Target, where: string): Promise<unknown> {
  return within(each.run(target, origin), exchangeLimitMs, () => `${each.group}: ${each.name}, ${where}`);
}

describe("through the tunnel as direct", () => {
  for (const each of cases) {
    test(
      `${each.group}: ${each.name}`,
      async () => {
        const there = await run(each, direct(), "direct");
        const limit = each.limits?.[relayRuntime];
        let cell = "differs";
        try {
          const through = await run(each, tunnel.target, "through the tunnel");
          if (Bun.deepEquals(through, there)) cell = "same";
          else if (Bun.deepEquals(joined(through), joined(there)))
            cell = "same but for case, order and joining";
          if (limit === undefined) expect(through).toEqual(there as never);
          else if (cell !== "same") table.note(each.group, limit);
        } catch (error) {
          if (limit === undefined) throw error;
          table.note(each.group, limit);
        } finally {
          table.record(each.group, each.name, cell);
        }
      },
      testLimitMs,
    );
  }
});

describe("never reaches the origin", () => {
  const group = "Never reaches the origin";
  for (const { name, request, inBody, limits } of refusals) {
    test(
      name,
      async () => {
        const before = origin.exchanges.length;
        let whole = 0;
        origin.script = async (exchange) => {
          await exchange.body.text();
          if (exchange.body.complete) whole++;
          await answerOk(exchange);
        };
        using visitor = await Visitor.connect(tunnel.target);
        await visitor.send(request);
        visitor.wire.end();
        const told = await within(visitor.wire.rest(), exchangeLimitMs, () => `an answer to ${name}`);
        const statuses = [...told.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((match) => Number(match[1]));
        // The next visitor is served: nothing of the bad one is left in the way, and all that it sent has been dealt with.
        expect((await visit(tunnel.target, "/after")).status).toBe(200);
        const arrived = origin.exchanges.slice(before).map((exchange) => exchange.head.target);
        const limit = limits?.[relayRuntime];
        if (limit !== undefined) {
          const refused = whole === 1 && (inBody || arrived.length === 1);
          table.record(group, name, refused ? `refused ${statuses[0] ?? "(closed)"}` : "reaches it");
          table.note(group, limit);
          return;
        }
        expect(arrived.filter((path) => path !== "/after" && !(inBody && path === "/refused"))).toEqual([]);
        expect(whole).toBe(1);
        expect(statuses.every((status) => status >= 400 && status < 600)).toBe(true);
        expect(statuses.length).toBeLessThanOrEqual(1);
        if (!inBody) expect(statuses.length).toBe(1);
        table.record(group, name, `refused ${statuses[0] ?? "(closed)"}`);
      },
      testLimitMs,
    );
  }

  for (const kib of [64, 200]) {
    test(`a head of ${kib} KiB gets 431`, async () => {
      const before = origin.exchanges.length;
      using visitor = await Visitor.connect(tunnel.target);
      await visitor.send(`GET / HTTP/1.1\r\nHost: HOST\r\nX-Big: ${"b".repeat(kib * 1024)}\r\n\r\n`);
      const answer = await visitor.answer();
      if (relayRuntime === "bun") expect(answer.status).toBe(431);
      expect(answer.status).toBeWithin(400, 500);
      expect(origin.exchanges.length).toBe(before);
      table.record(group, `a head of ${kib} KiB`, `refused ${answer.status}`);
    });
  }
});

describe("what only a relay does", () => {
  const lower = (name: string) => name.toLowerCase();
  const ownReader = { workerd: "workerd reads and frames HTTP/1.1 itself, and refuses absolute form" };

  test("forwarded fields say who came, and can't be forged", async () => {
    origin.script = answerOk;
    const before = origin.exchanges.length;
    await visit(tunnel.target, "/", [
      "X-Forwarded-For: 6.6.6.6",
      "x-forwarded-for: 7.7.7.7",
      "X-Forwarded-Host: evil.example",
      "X-Forwarded-Proto: https",
      "X-Forwarded-Port: 666",
      "X-Forwarded-Prefix: /evil",
      "X-Forwarded-Server: evil",
      "Forwarded: for=6.6.6.6;host=evil.example",
      "X-Real-IP: 6.6.6.6",
      "Underpass-Error: evil",
      "Underpass-Visitor: evil",
    ]);
    const { head } = await origin.arrived(before);
    const all = head.fields.map((field) => field.join(": ")).join("\n");
    expect(all).not.toMatch(/6\.6\.6\.6|7\.7\.7\.7|evil|: 666|: https/);
    expect(head.all("x-forwarded-for")).toEqual(["127.0.0.1"]);
    expect(head.all("x-forwarded-proto")).toEqual(["http"]);
    expect(head.all("x-forwarded-host")).toEqual([tunnel.target.host]);
  });

  test("fields of the visitor's hop stay on it", async () => {
    origin.script = answerOk;
    const before = origin.exchanges.length;
    await visit(tunnel.target, "/", [
      "Connection: X-Mine, keep-alive, Host, Authorization-Not",
      "X-Mine: 1",
      "Keep-Alive: timeout=9",
      "Proxy-Connection: keep-alive",
      "Proxy-Authorization: Basic eA==",
      "TE: gzip",
      "Upgrade: h2c",
      "HTTP2-Settings: AAMAAABk",
      "X-Kept: 1",
    ]);
    const { head } = await origin.arrived(before);
    const names = head.fields.map(([name]) => lower(name));
    for (const gone of ["x-mine", "keep-alive", "proxy-connection", "proxy-authorization", "upgrade"]) {
      expect(names).not.toContain(gone);
    }
    expect(head.all("connection").join().toLowerCase()).not.toContain("x-mine");
    expect(names).toContain("x-kept");
    expect(head.all("host")).toEqual([tunnel.target.host]);
  });

  test("fields of the origin's hop stay on it", async () => {
    origin.script = (exchange) =>
      exchange.send(
        "HTTP/1.1 200 OK\r\nConnection: X-Mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=9\r\nProxy-Connection: x\r\nX-Kept: 1\r\nContent-Length: 2\r\n\r\nok",
      );
    const { head } = await visit(tunnel.target);
    const names = head.fields.map(([name]) => lower(name));
    for (const gone of ["x-mine", "keep-alive", "proxy-connection"]) expect(names).not.toContain(gone);
    expect(names).toContain("x-kept");
  });

  testExcept(ownReader, "the absolute form of the tunnel's own address arrives as a path", async () => {
    origin.script = answerOk;
    const before = origin.exchanges.length;
    using visitor = await Visitor.connect(tunnel.target);
    await visitor.send("GET http://HOST/own%2F?a HTTP/1.1\r\nHost: HOST\r\n\r\n");
    expect((await visitor.answer()).status).toBe(200);
    expect((await origin.arrived(before)).head.target).toBe("/own%2F?a");
  });

  testExcept(ownReader, "Connection: close of the visitor closes after the answer", async () => {
    origin.script = answerOk;
    using visitor = await Visitor.connect(tunnel.target);
    await visitor.send("GET / HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n");
    const answer = await visitor.answer();
    expect(await answer.body.text()).toBe("ok");
    expect(answer.head.field("connection")?.toLowerCase()).toBe("close");
    expect(await visitor.wire.over).toBe("fin");
  });

  test("a connection of the origin that closes is not the visitor's affair", async () => {
    origin.script = async (exchange) => {
      await exchange.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
      exchange.wire.end();
    };
    using visitor = await Visitor.connect(tunnel.target);
    for (let i = 0; i < 3; i++) {
      await visitor.send("GET / HTTP/1.1\r\nHost: HOST\r\n\r\n");
      expect(await (await visitor.answer()).body.text()).toBe("ok");
    }
  });

  testExcept(
    ownReader,
    "an HTTP/1.0 visitor gets a chunked answer as plain bytes up to the end",
    async () => {
      origin.script = (exchange) =>
        exchange.send(
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\nX-T: 1\r\n\r\n",
        );
      using visitor = await Visitor.connect(tunnel.target);
      await visitor.send("GET / HTTP/1.0\r\nHost: HOST\r\n\r\n");
      const { head, body } = await visitor.answer();
      expect(head.field("transfer-encoding")).toBeUndefined();
      expect(await body.text()).toBe("abcdef");
    },
  );

  test("an HTTP/1.0 visitor gets no interim answers", async () => {
    origin.script = (exchange) =>
      exchange.send(
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
      );
    using visitor = await Visitor.connect(tunnel.target);
    await visitor.send("GET / HTTP/1.0\r\nHost: HOST\r\n\r\n");
    const answer = await visitor.answer();
    expect(answer.interim).toEqual([]);
    expect(await answer.body.text()).toBe("ok");
    expect(await visitor.wire.over).toBe("fin");
  });

  testExcept(ownReader, "an HTTP/1.0 visitor that asks for it keeps its connection", async () => {
    origin.script = answerOk;
    using visitor = await Visitor.connect(tunnel.target);
    for (let i = 0; i < 2; i++) {
      await visitor.send("GET / HTTP/1.0\r\nHost: HOST\r\nConnection: keep-alive\r\n\r\n");
      const answer = await visitor.answer();
      expect(answer.head.field("connection")?.toLowerCase()).toBe("keep-alive");
      expect(await answer.body.text()).toBe("ok");
    }
  });

  test("an HTTP/1.0 visitor's request reaches the origin as HTTP/1.1 with its body", async () => {
    const saw = Promise.withResolvers<ReturnType<typeof originSaw>>();
    origin.script = async (exchange) => {
      saw.resolve(originSaw(exchange, await exchange.body.text()));
      await answerOk(exchange);
    };
    using visitor = await Visitor.connect(tunnel.target);
    await visitor.send("POST /old HTTP/1.0\r\nHost: HOST\r\nContent-Length: 3\r\n\r\nabc");
    expect((await visitor.answer()).status).toBe(200);
    expect(await saw.promise).toMatchObject({ start: "POST /old HTTP/1.1", body: "abc" });
  });

  test("what an aborted answer left behind is not reused for the next", async () => {
    const arrived = Promise.withResolvers<void>();
    origin.script = async (exchange) => {
      await exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
      if (exchange.head.target === "/whole") return exchange.send("defghi");
      await arrived.promise;
      exchange.wire.abort();
    };
    using visitor = await Visitor.connect(tunnel.target);
    await visitor.send("GET /cut HTTP/1.1\r\nHost: HOST\r\n\r\n");
    const { body } = await visitor.answer();
    expect(await body.atLeast(3)).toBe("abc");
    arrived.resolve();
    await body.text();
    expect(body.complete).toBe(false);
    expect((await visit(tunnel.target, "/whole")).text).toBe("abcdefghi");
  });
});
