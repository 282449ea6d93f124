import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { testExcept } from "./programs/except.ts";
import { relayRuntime } from "./programs/relay.ts";
import { startTunnel, type Tunnel } from "./programs/tunnel.ts";
import { answerOk, RawOrigin } from "./raw/origin.ts";
import { type Target, Visitor, visit } from "./raw/visitor.ts";
import { opcodes, RawWebSocket } from "./raw/websocket.ts";

const testLimitMs = 30_000;
/** workerd parses the target as a URL before anyone sees it. */
const up = relayRuntime === "workerd" ? "" : "../";

async function open(relayArgs: readonly string[], agentArgs: readonly string[] = []) {
  const origin = await RawOrigin.listen();
  const tunnel = await startTunnel({ origin: origin.port, relay: { args: relayArgs }, agentArgs });
  const close = async () => {
    await tunnel.close();
    await origin.close();
  };
  return { origin, tunnel, close };
}

/** The relay's own host. */
function own(tunnel: Tunnel): Target {
  return { port: tunnel.relay.port, host: `127.0.0.1:${tunnel.relay.port}` };
}

describe("--routing both, the default", () => {
  let origin: RawOrigin;
  let tunnel: Tunnel;
  let close: () => Promise<void>;
  beforeAll(async () => {
    ({ origin, tunnel, close } = await open([]));
  }, testLimitMs);
  afterAll(() => close?.());

  test("ready tells the address of the tunnel's host, which takes visitors", async () => {
    const ready = await tunnel.agent.event("ready");
    expect(ready["url"]).toBe(`http://blue.localhost:${tunnel.relay.port}`);
    expect(ready["name"]).toBe("blue");
    expect(ready["kind"]).toBe("http");
    expect(ready["resumed"]).toBe(false);
  });

  for (const host of [
    "BLUE.localhost:PORT",
    "blue.LOCALHOST:PORT",
    "blue.localhost",
    "blue.localhost:1",
    "Blue.LocalHost",
  ]) {
    test(`Host ${host} is the tunnel`, async () => {
      const target = { port: tunnel.relay.port, host: host.replace("PORT", String(tunnel.relay.port)) };
      const before = origin.exchanges.length;
      expect((await visit(target)).status).toBe(200);
      expect((await origin.arrived(before)).head.field("host")).toBe(target.host);
    });
  }

  test("on a tunnel's host every path is the visitor's", async () => {
    for (const path of [
      "/healthz",
      "/metrics",
      "/_underpass/names",
      "/_underpass/links/blue",
      "/~blue/x",
      "/~red",
    ]) {
      const before = origin.exchanges.length;
      expect((await visit(tunnel.target, path)).text).toBe("ok");
      expect((await origin.arrived(before)).head.target).toBe(path);
    }
  });

  test("by path, the origin sees the rest of the path byte for byte, and the prefix", async () => {
    for (const [path, seen] of [
      ["/~blue/", "/"],
      [`/~blue/a%2Fb//c;d/${up}e?f=%20&g`, `/a%2Fb//c;d/${up}e?f=%20&g`],
      ["/~blue/?q", "/?q"],
      ["/~blue//x", "//x"],
      ["/~blue/~blue/x", "/~blue/x"],
    ] as const) {
      const before = origin.exchanges.length;
      expect((await visit(own(tunnel), path)).status).toBe(200);
      const { head } = await origin.arrived(before);
      expect(head.target).toBe(seen);
      expect(head.all("x-forwarded-prefix")).toEqual(["/~blue"]);
    }
  });

  test("/~blue is redirected to /~blue/, with its query", async () => {
    for (const [path, location] of [
      ["/~blue", "/~blue/"],
      ["/~blue?a=b", "/~blue/?a=b"],
    ] as const) {
      const { status, head } = await visit(own(tunnel), path);
      expect(status).toBe(308);
      expect(head.field("location")).toEndWith(location);
    }
  });

  test("names that only look alike are not the tunnel", async () => {
    for (const path of ["/~nobody/", "/~blu/", "/~blue2/", "/~%62lue2/"]) {
      const { status, head } = await visit(own(tunnel), path);
      expect([path, status]).toEqual([path, 404]);
      expect(["unknown-tunnel", "not-found"]).toContain(head.field("underpass-error") ?? "");
    }
  });

  test("by path, Location and cookie paths get the prefix, other hosts' do not", async () => {
    for (const [field, seen] of [
      ["Location: /login", "Location: /~blue/login"],
      ["Location: next?x", "Location: next?x"],
      ["Location: https://else.example/login", "Location: https://else.example/login"],
      ["Location: //else.example/x", "Location: //else.example/x"],
      ["Set-Cookie: a=b; Path=/; HttpOnly", "Set-Cookie: a=b; Path=/~blue/; HttpOnly"],
      ["Set-Cookie: a=b; path=/app", "Set-Cookie: a=b; path=/~blue/app"],
      ["Set-Cookie: a=b", "Set-Cookie: a=b"],
    ] as const) {
      origin.script = (exchange) =>
        exchange.send(`HTTP/1.1 302 Found\r\n${field}\r\nContent-Length: 0\r\n\r\n`);
      const { head } = await visit(own(tunnel), "/~blue/");
      const fields = head.fields.filter(([name]) => ["location", "set-cookie"].includes(name.toLowerCase()));
      expect(fields.map((each) => each.join(": "))).toEqual([seen]);
    }
    origin.script = answerOk;
  });

  test("by host, Location and cookie paths are left alone", async () => {
    origin.script = (exchange) =>
      exchange.send(
        "HTTP/1.1 302 Found\r\nLocation: /login\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n",
      );
    const { head } = await visit(tunnel.target);
    expect([head.field("location"), head.field("set-cookie")]).toEqual(["/login", "a=b; Path=/"]);
    origin.script = answerOk;
  });

  test("by path, a WebSocket works", async () => {
    origin.script = async (exchange) => {
      const socket = await RawWebSocket.accept(exchange);
      await socket.send(opcodes.text, exchange.head.target);
      await exchange.wire.over;
    };
    using socket = await RawWebSocket.connect(own(tunnel), { path: "/~blue/chat" });
    expect(await socket.text()).toBe("/chat");
    origin.script = answerOk;
  });

  test("one connection may visit two ways, each request by itself", async () => {
    using visitor = await Visitor.connect(tunnel.target);
    await visitor.send(
      `GET /a HTTP/1.1\r\nHost: HOST\r\n\r\nGET /~blue/b HTTP/1.1\r\nHost: ${own(tunnel).host}\r\n\r\n`,
    );
    expect(await (await visitor.answer()).body.text()).toBe("ok");
    expect(await (await visitor.answer()).body.text()).toBe("ok");
    expect(origin.exchanges.slice(-2).map((exchange) => exchange.head.target)).toEqual(["/a", "/b"]);
  });

  test("the relay's own pages answer on its own host", async () => {
    expect(await visit(own(tunnel), "/healthz")).toMatchObject({ status: 200 });
    expect(await visit(own(tunnel), "/readyz")).toMatchObject({ status: 200 });
    const metrics = await visit(own(tunnel), "/metrics");
    // No visitor of an edge platform comes from the relay's own machine.
    expect(metrics.status).toBe(relayRuntime === "workerd" ? 401 : 200);
    if (relayRuntime !== "workerd") expect(metrics.text).toMatch(/^# (HELP|TYPE) \w+/m);
    expect(await visit(own(tunnel), "/_underpass/nothing")).toMatchObject({ status: 404 });
  });
});

test(
  "--routing host has no tunnels at paths",
  async () => {
    const { tunnel, close } = await open(["--routing", "host"]);
    try {
      expect((await visit(tunnel.target)).text).toBe("ok");
      expect((await visit(own(tunnel), "/~blue/")).status).toBe(404);
    } finally {
      await close();
    }
  },
  testLimitMs,
);

test(
  "--routing path has tunnels at paths only, and says so in the URL",
  async () => {
    const { tunnel, close } = await open(["--routing", "path"]);
    try {
      expect((await tunnel.agent.event("ready"))["url"]).toBe(`http://localhost:${tunnel.relay.port}/~blue`);
      expect((await visit(own(tunnel), "/~blue/")).text).toBe("ok");
      expect((await visit(tunnel.target)).status).toBe(421);
    } finally {
      await close();
    }
  },
  testLimitMs,
);

test(
  "two domains both lead to the tunnel; the first is in the URL",
  async () => {
    const { tunnel, close } = await open(["--domain", "two.test"]);
    try {
      expect((await tunnel.agent.event("ready"))["url"]).toBe(`http://blue.localhost:${tunnel.relay.port}`);
      expect((await visit(tunnel.target)).text).toBe("ok");
      expect((await visit({ port: tunnel.relay.port, host: "blue.two.test" })).text).toBe("ok");
      expect((await visit({ port: tunnel.relay.port, host: "blue.three.test" })).status).toBe(421);
    } finally {
      await close();
    }
  },
  testLimitMs,
);

test(
  "--public-url is what the tunnel's URL and X-Forwarded-Proto are made of",
  async () => {
    const { origin, tunnel, close } = await open(["--public-url", "https://localhost"]);
    try {
      expect(String((await tunnel.agent.event("ready"))["url"])).toStartWith("https://");
      expect((await visit(tunnel.target)).text).toBe("ok");
      expect((await origin.arrived(0)).head.field("x-forwarded-proto")).toBe("https");
    } finally {
      await close();
    }
  },
  testLimitMs,
);

testExcept(
  { workerd: "Cloudflare's own header says who calls" },
  "a proxy of --trust-proxy says who calls, for each request; from others it is a visitor's invention",
  async () => {
    for (const [args, seen] of [
      [
        ["--trust-proxy", "10.0.0.0/8", "--trust-proxy", "127.0.0.1"],
        ["203.0.113.7", "2001:db8::7", "127.0.0.1"],
      ],
      [
        ["--trust-proxy", "10.0.0.0/8"],
        ["127.0.0.1", "127.0.0.1", "127.0.0.1"],
      ],
    ] as const) {
      const { origin, tunnel, close } = await open(args);
      try {
        using visitor = await Visitor.connect(tunnel.target);
        for (const from of [
          "X-Forwarded-For: 198.51.100.1, 203.0.113.7",
          "X-Forwarded-For: 2001:db8::7",
          "X-A: b",
        ]) {
          await visitor.send(`GET / HTTP/1.1\r\nHost: HOST\r\n${from}\r\n\r\n`);
          await (await visitor.answer()).body.text();
        }
        expect(origin.exchanges.map(({ head }) => head.all("x-forwarded-for"))).toEqual(
          seen.map((one) => [one]),
        );
        expect(origin.exchanges[0]?.head.field("forwarded")).toStartWith(`for=${seen[0]};`);
      } finally {
        await close();
      }
    }
  },
  testLimitMs,
);

describe("--host-header", () => {
  for (const [value, seen] of [
    ["visitor", (tunnel: Tunnel) => tunnel.target.host],
    ["origin", (_: Tunnel, origin: RawOrigin) => `localhost:${origin.port}`],
    ["shop.example:99", () => "shop.example:99"],
  ] as const) {
    test(
      `${value}: what the origin sees as Host`,
      async () => {
        const { origin, tunnel, close } = await open([], ["--host-header", value]);
        try {
          expect((await visit(tunnel.target)).text).toBe("ok");
          const { head } = await origin.arrived(0);
          const wanted = seen(tunnel, origin);
          const allowed = value === "origin" ? [wanted, `127.0.0.1:${origin.port}`] : [wanted];
          expect(allowed).toContain(head.field("host") ?? "");
          expect(head.all("host").length).toBe(1);
          expect(head.field("x-forwarded-host")).toBe(tunnel.target.host);
        } finally {
          await close();
        }
      },
      testLimitMs,
    );
  }
});
