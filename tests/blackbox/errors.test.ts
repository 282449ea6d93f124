import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { testExcept } from "./programs/except.ts";
import { startAgent, startTunnel, type Tunnel } from "./programs/tunnel.ts";
import { answerOk, RawOrigin, type Script } from "./raw/origin.ts";
import { type Target, Visitor, visit } from "./raw/visitor.ts";

const testLimitMs = 30_000;

let origin: RawOrigin;
let tunnel: Tunnel;

beforeAll(async () => {
  origin = await RawOrigin.listen();
  tunnel = await startTunnel({
    origin: origin.port,
    agentArgs: ["--origin-head-timeout", "300ms", "--origin-dial-timeout", "2s"],
  });
}, testLimitMs);
afterAll(async () => {
  await tunnel?.close();
  await origin?.close();
});

/** The tunnel's address with another Host. */
function at(host: string): Target {
  return { port: tunnel.relay.port, host };
}

async function code(path = "/", target = tunnel.target): Promise<[number, string | undefined]> {
  const { status, head } = await visit(target, path);
  return [status, head.field("underpass-error")];
}

describe("no tunnel", () => {
  test("a name that nobody has is 404 unknown-tunnel", async () => {
    expect(await code("/", at(tunnel.relay.hostFor("nobody")))).toEqual([404, "unknown-tunnel"]);
  });

  test("a host that is not the relay's is 421 unknown-host", async () => {
    expect(await code("/", at("elsewhere.example"))).toEqual([421, "unknown-host"]);
  });

  test("a name below a tunnel's name is no tunnel", async () => {
    const [status] = await code("/", at(`deep.${tunnel.relay.hostFor("blue")}`));
    expect([404, 421]).toContain(status);
  });

  test("an agent that was stopped leaves 503 agent-offline with Retry-After, and is back when it comes back", async () => {
    const args = { origin: origin.port, name: "green", token: tunnel.token };
    const agent = await startAgent(tunnel.relay, args);
    const green = at(tunnel.relay.hostFor("green"));
    expect((await visit(green)).status).toBe(200);
    expect(await agent.stop()).toBe(0);
    const { status, head } = await visit(green);
    expect([status, head.field("underpass-error")]).toEqual([503, "agent-offline"]);
    expect(Number(head.field("retry-after"))).toBeGreaterThan(0);
    const back = await startAgent(tunnel.relay, args);
    expect((await visit(green)).status).toBe(200);
    await back.stop();
  });
});

describe("no origin", () => {
  test("a refused origin is 502 origin-refused, and the next request after it came up works", async () => {
    const gone = await RawOrigin.listen();
    const { port } = gone;
    await gone.close();
    const agent = await startAgent(tunnel.relay, { origin: port, name: "later", token: tunnel.token });
    const later = at(tunnel.relay.hostFor("later"));
    const page = await visit(later, "/", ["Accept: text/html,application/xhtml+xml,*/*;q=0.8"]);
    expect([page.status, page.head.field("underpass-error")]).toEqual([502, "origin-refused"]);
    expect(page.head.field("content-type")).toStartWith("text/html");
    expect(page.text).toMatch(/^<!doctype html>/i);
    const problem = await visit(later, "/", ["Accept: application/json"]);
    expect(problem.head.field("content-type")).toBe("application/problem+json");
    expect(JSON.parse(problem.text)).toMatchObject({ status: 502, code: "origin-refused" });
    const text = await visit(later, "/", ["Accept: text/plain"]);
    expect(text.head.field("content-type")).toStartWith("text/plain");
    expect(text.text).toContain("origin-refused");
    const plain = await visit(later);
    expect(plain.head.field("content-type")).toStartWith("text/plain");
    const up = await RawOrigin.listen(undefined, port);
    expect((await visit(later)).text).toBe("ok");
    await up.close();
    await agent.stop();
  });

  test("an upload to a refused origin gets the answer, and the connection is of use afterwards or closed", async () => {
    const gone = await RawOrigin.listen();
    const { port } = gone;
    await gone.close();
    const agent = await startAgent(tunnel.relay, { origin: port, name: "never", token: tunnel.token });
    using visitor = await Visitor.connect(at(tunnel.relay.hostFor("never")));
    await visitor.send(
      `POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 100000\r\n\r\n${"u".repeat(100_000)}`,
    );
    const answer = await visitor.answer();
    expect(answer.status).toBe(502);
    await answer.body.text();
    expect(answer.body.complete).toBe(true);
    await agent.stop();
  });
});

/** What an origin does wrong, and what the visitor is told. */
const faults: readonly [string, Script, number, string][] = [
  ["closes without an answer", (exchange) => exchange.wire.end(), 502, "origin-closed"],
  ["resets without an answer", (exchange) => exchange.wire.abort(), 502, "origin-closed"],
  [
    "closes within its head",
    async (exchange) => {
      await exchange.send("HTTP/1.1 200 OK\r\nX-A");
      exchange.wire.end();
    },
    502,
    "origin-closed",
  ],
  [
    "answers with something else than HTTP",
    (exchange) => exchange.send("SSH-2.0-Odd\r\n\r\n"),
    502,
    "origin-invalid",
  ],
  [
    "answers with two lengths",
    (exchange) => exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"),
    502,
    "origin-invalid",
  ],
  [
    "answers with a length and chunks",
    (exchange) =>
      exchange.send(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
      ),
    502,
    "origin-invalid",
  ],
  [
    "answers with a head of 100 KiB",
    (exchange) => exchange.send(`HTTP/1.1 200 OK\r\nX: ${"x".repeat(102_400)}\r\n\r\n`),
    502,
    "origin-invalid",
  ],
  [
    "answers 101 to a request that did not ask",
    (exchange) =>
      exchange.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
    502,
    "origin-invalid",
  ],
  ["does not answer in time", async (exchange) => void (await exchange.wire.over), 504, "origin-timeout"],
];

describe("an origin that fails before its answer", () => {
  for (const [fault, script, status, name] of faults) {
    test(`${fault}: ${status} ${name}`, async () => {
      origin.script = script;
      expect(await code("/", tunnel.target)).toEqual([status, name]);
      origin.script = answerOk;
      expect((await visit(tunnel.target)).text).toBe("ok");
    });
  }

  test("a head that came in time has no limit for its body", async () => {
    origin.script = async (exchange) => {
      if (exchange.head.target === "/stuck") return void (await exchange.wire.over);
      await exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no");
      // Longer than the limit for heads, measured by another request that runs into it.
      expect((await visit(tunnel.target, "/stuck")).status).toBe(504);
      await exchange.send("k");
    };
    expect((await visit(tunnel.target, "/slow")).text).toBe("ok");
  });

  test("a request is never sent twice by itself", async () => {
    const seen: string[] = [];
    origin.script = async (exchange) => {
      seen.push(exchange.head.target);
      if (exchange.head.target === "/once") exchange.wire.abort();
      else await answerOk(exchange);
    };
    await visit(tunnel.target, "/warm");
    using visitor = await Visitor.connect(tunnel.target);
    await visitor.send("POST /once HTTP/1.1\r\nHost: HOST\r\nContent-Length: 1\r\n\r\nx");
    expect((await visitor.answer()).status).toBe(502);
    expect(seen.filter((path) => path === "/once").length).toBe(1);
  });
});

describe("the form of an error", () => {
  const nobody = () => at(tunnel.relay.hostFor("nobody"));

  test("HEAD gets the head alone", async () => {
    using visitor = await Visitor.connect(nobody());
    await visitor.send(
      "HEAD / HTTP/1.1\r\nHost: HOST\r\n\r\nGET / HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n",
    );
    expect((await visitor.answer("HEAD")).status).toBe(404);
    expect((await visitor.answer()).status).toBe(404);
  });

  test("what a visitor sent is not markup in the page", async () => {
    const { text } = await visit(nobody(), "/<script>alert(1)</script>?<img>", [
      "Accept: text/html",
      "X: <script>",
    ]);
    expect(text).not.toContain("<script>alert");
  });

  test("it is not kept by caches", async () => {
    expect((await visit(nobody())).head.field("cache-control")).toContain("no-store");
  });
});

test("a connection that says nothing costs others nothing", async () => {
  origin.script = answerOk;
  using silent = await Visitor.connect(tunnel.target);
  await silent.send("GET / HT");
  expect((await visit(tunnel.target)).text).toBe("ok");
  await silent.send("TP/1.1\r\nHost: HOST\r\n\r\n");
  expect((await silent.answer()).status).toBe(200);
});

testExcept(
  { workerd: "a visitor's FIN alone is not told there" },
  "a visitor who half-closes before an upgrade is answered is let go, and his origin hears of it",
  async () => {
    const before = origin.exchanges.length;
    origin.script = () => new Promise(() => {});
    using visitor = await Visitor.connect(tunnel.target);
    await visitor.send("GET / HTTP/1.1\r\nHost: HOST\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    const exchange = await origin.arrived(before);
    visitor.wire.end();
    await expect(exchange.wire.rest()).resolves.toBe("");
    await visitor.wire.rest().catch(() => {});
    origin.script = answerOk;
  },
);

test("what only the relay may say does not come through from an origin", async () => {
  origin.script = async ({ wire }) => {
    await wire.send(
      "HTTP/1.1 200 OK\r\nUnderpass-Error: agent-offline\r\nunderpass-x: y\r\nX-Own: z\r\nContent-Length: 0\r\n\r\n",
    );
  };
  const { head } = await visit(tunnel.target);
  expect([head.field("underpass-error"), head.field("underpass-x"), head.field("x-own")]).toEqual([
    undefined,
    undefined,
    "z",
  ]);
  origin.script = answerOk;
});
