import { describe, expect, test } from "bun:test";
import { RelayDialer, type RelayDialerOptions } from "../../shared/dial/dial.ts";
import type { GivenName, NameWish } from "../../shared/dial/place.ts";
import { RelayRefusal } from "../../shared/dial/relay-refusal.ts";
import { UnderpassError } from "../../shared/errors.ts";
import type { SessionKind } from "../../shared/kind.ts";
import type { Link } from "../../shared/link.ts";
import { dial, listen } from "../../shared/runtimes/bun-sockets.ts";
import { systemClock as clock } from "../../shared/runtimes/system-clock.ts";
import type { Dial, Socket } from "../../shared/socket.ts";
import { acceptKey } from "../../shared/websocket/upgrade.ts";
import { LinkEar } from "../conformance/link-ear.ts";
import { latin1, withRelay, write } from "./raw-relay.ts";

type Options = Partial<RelayDialerOptions> & {
  readonly token?: string;
  readonly name?: string;
  readonly session?: string;
  readonly kind?: SessionKind;
};

function openLink(
  relay: URL,
  { token, session, name = "blue", kind = "http", ...options }: Options = {},
): Promise<Link | UnderpassError> {
  const dialer = new RelayDialer({ relay, dial, clock, insecure: false, ...options });
  return new Promise((resolve) => void dialer.openLink({ name, kind, session }, token, resolve));
}

function requestName(
  relay: URL,
  { token, wish = { kind: "http" } }: { readonly token?: string; readonly wish?: NameWish } = {},
): Promise<GivenName | UnderpassError> {
  const dialer = new RelayDialer({ relay, dial, clock, insecure: false });
  return new Promise((resolve) => void dialer.requestName(token, wish, resolve));
}

/** The refusal that an answer of these bytes becomes. */
async function refusalFor(answer: string, how: { end?: boolean } = {}): Promise<RelayRefusal> {
  const result = await withRelay(
    (_request, socket) => {
      write(socket, answer);
      if (how.end) socket.end();
    },
    (relay) => openLink(relay, { timeoutMs: 2_000 }),
  );
  if (result instanceof RelayRefusal) return result;
  throw new Error(`not refused: ${result}`);
}

const refuse = (status: number, code: string, more = "", body = ""): string =>
  `HTTP/1.1 ${status} No\r\nUnderpass-Error: ${code}\r\n${more}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

const accept = (request: string): string => {
  const key = /Sec-WebSocket-Key: (\S+)/.exec(request)?.[1] ?? "";
  return `HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nconnection: keep-alive, upgrade\r\nSec-WebSocket-Accept: ${acceptKey(key)}\r\nSec-WebSocket-Protocol: underpass.1\r\n\r\n`;
};

describe("opening a link", () => {
  test("asks as PROTOCOL.md says, and gives what came behind the 101 to the link", async () => {
    let asked = "";
    await withRelay(
      (request, socket) => {
        asked = request;
        write(socket, `${accept(request)}\x82\x03abc\x82\x02d`);
        write(socket, "e");
      },
      async (relay) => {
        const link = await openLink(relay, { token: "aaa.bbb.ccc" });
        if (link instanceof UnderpassError) throw link;
        const ear = new LinkEar(link);
        await ear.until(() => ear.messages.length === 2);
        expect(ear.messages.map(latin1)).toEqual(["abc", "de"]);
        expect(asked.split("\r\n")).toEqual(
          expect.arrayContaining([
            "GET /_underpass/links/blue HTTP/1.1",
            `Host: ${relay.host}`,
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Protocol: underpass.1",
            "Authorization: Bearer aaa.bbb.ccc",
          ]),
        );
        expect(asked).not.toContain("Extensions");
        link.destroy();
      },
    );
  });

  test("asks for a session under the tunnel's name where it is to resume one", async () => {
    let asked = "";
    await withRelay(
      (request, socket) => {
        asked = request;
        write(socket, accept(request));
      },
      async (relay) => {
        const link = await openLink(relay, { session: "S_1-x" });
        if (link instanceof UnderpassError) throw link;
        expect(asked).toStartWith("GET /_underpass/links/blue/S_1-x HTTP/1.1\r\n");
        link.destroy();
      },
    );
  });

  test("says in the query what the session is for, but for http", async () => {
    for (const [session, path] of [
      [undefined, "/_underpass/links/blue?kind=egress"],
      ["S1", "/_underpass/links/blue/S1?kind=egress"],
    ] as const) {
      let asked = "";
      await withRelay(
        (request, socket) => {
          asked = request;
          write(socket, accept(request));
        },
        async (relay) => {
          const link = await openLink(relay, { kind: "egress", ...(session && { session }) });
          if (link instanceof UnderpassError) throw link;
          expect(asked).toStartWith(`GET ${path} HTTP/1.1\r\n`);
          link.destroy();
        },
      );
    }
  });

  test("works after 1xx heads", async () => {
    await withRelay(
      (request, socket) => write(socket, `HTTP/1.1 103 Early Hints\r\n\r\n${accept(request)}`),
      async (relay) => {
        const link = await openLink(relay);
        if (link instanceof UnderpassError) throw link;
        link.destroy();
      },
    );
  });

  test("a wrong accept key, subprotocol or an extension is not a relay", async () => {
    for (const spoil of [
      (answer: string) => answer.replace(/Accept: \S+/, "Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
      (answer: string) => answer.replace("underpass.1", "underpass.2"),
      (answer: string) => answer.replace(/Sec-WebSocket-Protocol.*\r\n/, ""),
      (answer: string) => answer.replace("upgrade: WebSocket\r\n", ""),
      (answer: string) =>
        answer.replace("upgrade:", "Sec-WebSocket-Extensions: permessage-deflate\r\nupgrade:"),
    ]) {
      const result = await withRelay(
        (request, socket) => write(socket, spoil(accept(request))),
        (relay) => openLink(relay),
      );
      expect(result).toBeInstanceOf(RelayRefusal);
      if (result instanceof RelayRefusal) expect(result.code).toBe("not-a-relay");
    }
  });
});

describe("a refusal", () => {
  test("has the relay's code, its detail, and its hint when to come again", async () => {
    const body = JSON.stringify({ code: "name-taken", detail: "blue is\u001b[31m\nanne's" });
    const refusal = await refusalFor(refuse(409, "name-taken", "", body));
    expect([refusal.code, refusal.message, refusal.fatal]).toEqual([
      "name-taken",
      "blue is [31m anne's",
      true,
    ]);
    const later = await refusalFor(refuse(503, "going-away", "Retry-After: 7\r\n"));
    expect([later.code, later.fatal, later.retryAfterMs]).toEqual(["going-away", false, 7_000]);
  });

  test("counts with its code even when the body is cut off, endless, or no JSON", async () => {
    const head = "HTTP/1.1 401 No\r\nUnderpass-Error: unauthorized\r\n";
    for (const answer of [
      `${head}Content-Length: 100\r\n\r\n{"detail"`,
      `${head}\r\n${"x".repeat(100_000)}`,
      `${head}Content-Length: 4\r\n\r\n<p/>`,
      `${head}Content-Length: 4\r\n\r\nnull`,
      `${head}Transfer-Encoding: chunked\r\n\r\nzz\r\n`,
    ]) {
      const refusal = await refusalFor(answer, { end: true });
      expect([refusal.code, refusal.message]).toEqual([
        "unauthorized",
        new UnderpassError("unauthorized").message,
      ]);
    }
  });

  test("with what a relay tells visitors means the wrong address, which no other dial cures", async () => {
    for (const [status, code] of [
      [421, "unknown-host"],
      [404, "unknown-tunnel"],
      [404, "not-found"],
    ] as const) {
      const refusal = await refusalFor(refuse(status, code));
      expect([refusal.code, refusal.fatal]).toEqual(["not-a-relay", true]);
    }
  });

  test("with a code of a newer relay counts by its status", async () => {
    expect((await refusalFor(refuse(422, "moon-phase"))).code).toBe("bad-request");
    expect((await refusalFor(refuse(503, "constructor"))).code).toBe("relay-unreachable");
  });

  test("without Underpass-Error is a proxy's trouble at 429 and 5xx, and else not a relay's", async () => {
    for (const status of [429, 500, 502, 503, 504, 530]) {
      const refusal = await refusalFor(`HTTP/1.1 ${status} X\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n`);
      expect([refusal.code, refusal.fatal, refusal.retryAfterMs]).toEqual([
        "relay-unreachable",
        false,
        2_000,
      ]);
    }
    for (const status of [200, 204, 301, 400, 401, 403, 404, 426]) {
      const refusal = await refusalFor(`HTTP/1.1 ${status} X\r\nContent-Length: 0\r\n\r\n`);
      expect([refusal.code, refusal.fatal]).toEqual(["not-a-relay", true]);
    }
    const moved = await refusalFor(
      "HTTP/1.1 301 X\r\nLocation: https://there.test/\r\nContent-Length: 0\r\n\r\n",
    );
    expect(moved.message).toContain("https://there.test/");
  });

  test("is not-a-relay for what is not HTTP, and relay-unreachable for silence", async () => {
    expect((await refusalFor("SSH-2.0-OpenSSH_9.6\r\n\r\n")).code).toBe("not-a-relay");
    expect((await refusalFor(`HTTP/1.1 101 X\r\nA: ${"x".repeat(20_000)}\r\n\r\n`)).code).toBe("not-a-relay");
    expect((await refusalFor("", { end: true })).code).toBe("relay-unreachable");
    expect((await refusalFor("HTTP/1.1 2", { end: true })).code).toBe("relay-unreachable");
    const silent = await withRelay(
      () => {},
      (relay) => openLink(relay, { timeoutMs: 50 }),
    );
    expect(silent).toBeInstanceOf(RelayRefusal);
    if (silent instanceof RelayRefusal) expect(silent.code).toBe("relay-unreachable");
  });

  test("is relay-unreachable where nothing listens, and does not come from inside the call", async () => {
    const listener = await listen({ host: "127.0.0.1", port: 0 }, () => {});
    listener.close();
    const relay = new URL(`http://127.0.0.1:${listener.port}`);
    const result = await new Promise<Link | UnderpassError>((resolve) => {
      let inside = true;
      const dialer = new RelayDialer({ relay, dial, clock, insecure: false });
      dialer.openLink({ name: "blue", kind: "http" }, undefined, (result) => {
        expect(inside).toBe(false);
        resolve(result);
      });
      inside = false;
    });
    expect(result instanceof UnderpassError && result.code).toBe("relay-unreachable");
  });

  test("a dial that is given up tells nothing and closes its socket", async () => {
    const { promise: gone, resolve } = Promise.withResolvers<void>();
    await withRelay(
      (_request, socket) => {
        socket.handler = { data() {}, drained() {}, ended() {}, closed: () => resolve() };
        giveUp();
      },
      async (relay) => {
        const dialer = new RelayDialer({ relay, dial, clock, insecure: false });
        giveUp = dialer.openLink({ name: "blue", kind: "http" }, undefined, () => expect.unreachable());
        await gone;
      },
    );
  });
  let giveUp = (): void => {};
});

describe("a token", () => {
  /** Notes where a dial goes, and opens nothing. */
  const spy =
    (targets: string[]): Dial =>
    (target, _timeoutMs, handler) => {
      targets.push(`${target.host}:${target.port}${target.tls ? ` tls ${target.tls.serverName}` : ""}`);
      queueMicrotask(() => handler.failed("refused", "spied"));
      return () => {};
    };

  test("travels over plain http to this machine only, unless insecure", async () => {
    const targets: string[] = [];
    const codeFor = async (relay: string, options: Options): Promise<string> => {
      const result = await openLink(new URL(relay), { dial: spy(targets), ...options });
      return result instanceof UnderpassError ? result.code : "open";
    };
    for (const relay of [
      "http://relay.test",
      "ws://10.0.0.5:8787",
      "http://128.0.0.1",
      "http://localhost.test",
    ]) {
      expect(await codeFor(relay, { token: "abc" })).toBe("insecure-relay");
    }
    expect(targets).toEqual([]);
    for (const relay of [
      "http://localhost",
      "http://127.9.8.7:81",
      "ws://[::1]:82",
      "http://0x7f000001:83",
    ]) {
      expect(await codeFor(relay, { token: "abc" })).toBe("relay-unreachable");
    }
    expect(await codeFor("http://relay.test", {})).toBe("relay-unreachable");
    expect(await codeFor("http://relay.test", { token: "abc", insecure: true })).toBe("relay-unreachable");
    expect(await codeFor("https://relay.test", { token: "abc" })).toBe("relay-unreachable");
    expect(await codeFor("wss://[2001:db8::1]:444", { token: "abc" })).toBe("relay-unreachable");
    expect(targets).toEqual([
      "localhost:80",
      "127.9.8.7:81",
      "::1:82",
      "127.0.0.1:83",
      "relay.test:80",
      "relay.test:80",
      "relay.test:443 tls relay.test",
      "2001:db8::1:444 tls 2001:db8::1",
    ]);
  });

  test("that could break out of its line is refused before anything is dialled", async () => {
    const targets: string[] = [];
    for (const token of ["a b", "a\r\nX: y", "", "ä"]) {
      const result = await openLink(new URL("http://localhost"), { token, dial: spy(targets) });
      expect(result instanceof UnderpassError && result.code).toBe("unauthorized");
      if (!(result instanceof UnderpassError)) continue;
      if (token === "") expect(result.message).toBe("The token is empty.");
      else expect(result.message).not.toContain(token);
    }
    expect(targets).toEqual([]);
  });
});

describe("asking for a name", () => {
  const ask = (relay: URL) => requestName(relay);

  test("posts the kind and takes the name of a 201", async () => {
    let asked = "";
    const given = await withRelay(
      (request, socket) => {
        asked = request;
        write(
          socket,
          'HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{"name":\r\n7\r\n"blue"}\r\n0\r\n\r\n',
        );
      },
      (relay) => requestName(relay, { token: "aaa" }),
    );
    expect(given).toEqual({ name: "blue" });
    expect(asked).toStartWith("POST /_underpass/names HTTP/1.1\r\n");
    expect(asked).toContain("\r\nAuthorization: Bearer aaa\r\n");
    expect(asked).toEndWith('\r\n\r\n{"kind":"http"}');
  });

  test("of tcp and udp says which name and port are wished for, and takes the port too", async () => {
    const wish = { kind: "tcp", name: "blue", port: 5432 } as const;
    let asked = "";
    const reply = (body: string) => (request: string, socket: Socket) => {
      asked = request;
      write(socket, `HTTP/1.1 201 Created\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    };
    const given = await withRelay(reply('{"name":"blue","port":5432}'), (relay) =>
      requestName(relay, { wish }),
    );
    expect(given).toEqual({ name: "blue", port: 5432 });
    expect(asked).toEndWith('\r\n\r\n{"kind":"tcp","name":"blue","port":5432}');
    for (const port of ["", ',"port":0', ',"port":65536', ',"port":"80"', ',"port":1.5']) {
      const result = await withRelay(reply(`{"name":"blue"${port}}`), (relay) =>
        requestName(relay, { wish }),
      );
      expect(result instanceof UnderpassError && result.code).toBe("not-a-relay");
    }
  });

  test("an answer without a valid name is no relay's, and a refusal keeps its code", async () => {
    for (const body of ["", "{}", '{"name":7}', '{"name":"../x"}', '{"name":"A"}']) {
      const answer = `HTTP/1.1 201 Created\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
      const result = await withRelay((_request, socket) => write(socket, answer), ask);
      expect(result instanceof UnderpassError && result.code).toBe("not-a-relay");
    }
    const refused = await withRelay((_request, socket) => write(socket, refuse(401, "unauthorized")), ask);
    expect(refused instanceof UnderpassError && refused.code).toBe("unauthorized");
    const upgraded = await withRelay((request, socket) => write(socket, accept(request)), ask);
    expect(upgraded instanceof UnderpassError && upgraded.code).toBe("not-a-relay");
  });
});
