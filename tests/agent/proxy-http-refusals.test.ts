import { describe, expect, test } from "bun:test";
import type { Code } from "../../shared/errors.ts";
import { answering, RawService } from "../origins/places.ts";
import { answer, ProxyHarness } from "./proxy-harness.ts";

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

describe("failures", () => {
  const table: readonly (readonly [Code, number])[] = [
    ["egress-denied", 403],
    ["origin-refused", 502],
    ["origin-unreachable", 502],
    ["origin-not-found", 502],
    ["origin-closed", 502],
    ["origin-timeout", 504],
    ["agent-offline", 503],
    ["unknown-tunnel", 503],
    ["relay-unreachable", 503],
    ["link-lost", 502],
    ["token-expired", 502],
    ["too-many-streams", 503],
  ];
  test.each(table)("%s is told as %d, and the socket goes on where it can", async (code, status) => {
    await using service = await RawService.listen(answering(() => ok));
    await using harness = await ProxyHarness.start();
    harness.caller.refusals.set("no.test:80", code);
    const program = await harness.program("GET http://no.test/secret?key HTTP/1.1\r\nHost: no.test\r\n\r\n");
    const { head, body } = await answer(program);
    expect(head).toStartWith(`HTTP/1.1 ${status} `);
    expect(head).toContain(`\r\nUnderpass-Error: ${code}\r\n`);
    expect(body).toStartWith(`${status} ${code}: `);
    program.write(`GET http://127.0.0.1:${service.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
    expect((await answer(program)).body).toBe("ok");
    expect(harness.events[0]).toMatchObject({ target: "no.test:80", end: "reset", code });
    expect(JSON.stringify(harness.events)).not.toContain("secret");
  });

  test.each([
    ["CONNECT without a port", "CONNECT a.test HTTP/1.1\r\nHost: a.test\r\n\r\n"],
    [
      "an upgrade to nobody",
      "GET http://no.test/ HTTP/1.1\r\nHost: no.test\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    ],
  ])("%s ends the socket: what follows is never read as a request", async (_what, first) => {
    await using harness = await ProxyHarness.start();
    harness.caller.refusals.set("no.test:80", "origin-refused");
    const program = await harness.program(
      first,
      "GET http://stolen.test/ HTTP/1.1\r\nHost: stolen.test\r\n\r\n",
    );
    await program.over();
    expect(program.text).toContain("\r\nConnection: close\r\n");
    expect(harness.caller.called).not.toContain("stolen.test:80");
  });

  test("an upload to nobody is answered, and not read as the next request", async () => {
    await using harness = await ProxyHarness.start();
    harness.caller.refusals.set("no.test:80", "origin-refused");
    const program = await harness.program(
      "POST http://no.test/ HTTP/1.1\r\nHost: no.test\r\nContent-Length: 100\r\n\r\n",
      "GET http://stolen.test/ HTTP/1.1\r\nHost: stolen.test\r\n\r\n",
    );
    await program.over();
    expect(program.text).toStartWith("HTTP/1.1 502 ");
    expect(harness.caller.called).toEqual(["no.test:80"]);
  });

  test.each([
    ["an origin that says nothing", "", "origin-closed"],
    ["an origin that talks nonsense", "SSH-2.0-OpenSSH\r\n\r\n", "origin-invalid"],
    [
      "an origin with two framings",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
      "origin-invalid",
    ],
    [
      "an upgrade that nobody asked for",
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
      "origin-invalid",
    ],
  ])("%s: 502", async (_what, said, code) => {
    await using service = await RawService.listen((socket) => {
      socket.once("data", () => socket.end(said));
    });
    await using harness = await ProxyHarness.start();
    const program = await harness.program(
      `GET http://127.0.0.1:${service.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`,
    );
    expect((await answer(program)).head).toStartWith(
      `HTTP/1.1 502 Bad Gateway\r\nUnderpass-Error: ${code}\r\n`,
    );
  });

  test("an Upgrade that Connection does not name is nobody's: it does not go on, and 101 is no answer to it", async () => {
    let seen = "";
    await using service = await RawService.listen((socket) => {
      socket.once("data", (bytes) => {
        seen = bytes.toString();
        socket.end("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n");
      });
    });
    await using harness = await ProxyHarness.start();
    const url = `http://127.0.0.1:${service.port}/`;
    const program = await harness.program(`GET ${url} HTTP/1.1\r\nHost: x\r\nUpgrade: x\r\n\r\n`);
    expect((await answer(program)).head).toStartWith("HTTP/1.1 502 ");
    expect(seen).not.toContain("Upgrade");
  });

  test.each([
    ["GET / HTTP/1.1\r\nHost: 127.0.0.1:1080\r\n\r\n", "This port is a proxy"],
    ["OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "This port is a proxy"],
    ["GET https://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", "by CONNECT"],
    ["GET ftp://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", "not an http:// URL"],
    ["GET a.test HTTP/1.1\r\nHost: a.test\r\n\r\n", "not an http:// URL"],
    ["GET http:///x HTTP/1.1\r\nHost: a.test\r\n\r\n", "no host"],
    ["GET http://me:pw@a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", "no host"],
    ["GET http://me@a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", "no host"],
    ["GET http://a.test:0/ HTTP/1.1\r\nHost: a.test\r\n\r\n", "no host"],
    ["GET http://a.test:65536/ HTTP/1.1\r\nHost: a.test\r\n\r\n", "no host"],
    ["GET http://a%2etest/ HTTP/1.1\r\nHost: a.test\r\n\r\n", "no host"],
    ["GET http://[::1/ HTTP/1.1\r\nHost: a.test\r\n\r\n", "no host"],
    ["GET http://[fe80::1%25eth0]/ HTTP/1.1\r\nHost: a.test\r\n\r\n", "no host"],
    ["GET http://a.test#x HTTP/1.1\r\nHost: a.test\r\n\r\n", "no host"],
    ["CONNECT a.test HTTP/1.1\r\nHost: a.test\r\n\r\n", "HOST:PORT"],
    ["CONNECT http://a.test:80 HTTP/1.1\r\nHost: a.test\r\n\r\n", "HOST:PORT"],
    ["CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\n", "no body"],
    ["GET http://a.test/ HTTP/1.1\r\n\r\n", "no Host"],
    ["GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n", "more than one Host"],
    [
      "POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
      "both Content-Length and Transfer-Encoding",
    ],
    [
      "POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
      "more than one",
    ],
    ["GET http://a.test/ HTTP/1.1\nHost: a.test\n\n", "CRLF"],
    ["GET http://a.test/ HTTP/1.1\r\nHost : a.test\r\n\r\n", "name"],
    ["\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "method"],
  ])("%j is answered 400, and calls nobody", async (said, why) => {
    await using harness = await ProxyHarness.start();
    const program = await harness.program(said);
    const { head, body } = await answer(program);
    expect(head).toStartWith("HTTP/1.1 400 Bad Request\r\nUnderpass-Error: request-invalid\r\n");
    expect(body).toContain(why);
    expect(harness.caller.called).toEqual([]);
    expect(harness.events).toEqual([]);
  });

  test("a head that is too large gets 431, one that has no body of its own keeps none for HEAD", async () => {
    await using harness = await ProxyHarness.start();
    const large = await harness.program(
      `GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nX: ${"x".repeat(40_000)}`,
    );
    await large.says("HTTP/1.1 431 ");
    const head = await harness.program("HEAD / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n");
    await head.says("has no pages of its own.\n");
    expect(head.text.match(/HTTP\/1\.1 400/g)).toHaveLength(2);
    expect(head.text.match(/pages of its own/g)).toHaveLength(1);
  });
});

describe("HTTP credentials", () => {
  const credentials = { user: "me", password: "se:cret\u00fc" };
  const basic = (text: string): string =>
    `Proxy-Authorization: Basic ${Buffer.from(text).toString("base64")}\r\n`;
  const get = (port: number, fields: string): string =>
    `GET http://127.0.0.1:${port}/ HTTP/1.1\r\nHost: x\r\n${fields}\r\n`;

  test("are asked for by 407, and the socket stays for the next try", async () => {
    await using service = await RawService.listen(answering(() => ok));
    await using harness = await ProxyHarness.start({ credentials });
    const program = await harness.program(get(service.port, ""));
    const { head } = await answer(program);
    expect(head).toStartWith("HTTP/1.1 407 Proxy Authentication Required\r\n");
    expect(head).toContain('\r\nProxy-Authenticate: Basic realm="underpass", charset="UTF-8"\r\n');
    program.write(get(service.port, basic("me:se:cret\u00fc")));
    expect((await answer(program)).body).toBe("ok");
  });

  test.each([
    basic("me:wrong"),
    basic("me:se:cret"),
    basic("me"),
    basic(":"),
    basic("me:se:cret\u00fcme:se:cret\u00fc"),
    "Proxy-Authorization: Basic %%%\r\n",
    "Proxy-Authorization: Basic A\r\n",
    "Proxy-Authorization: Bearer bWU6c2U6Y3JldMO8\r\n",
    "Authorization: Basic bWU6c2U6Y3JldMO8\r\n",
  ])("%j is not let through", async (field) => {
    await using harness = await ProxyHarness.start({ credentials });
    const program = await harness.program(get(80, field));
    expect((await answer(program)).head).toStartWith("HTTP/1.1 407 ");
    const connect = await harness.program(`CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n${field}\r\n`);
    expect((await answer(connect)).head).toStartWith("HTTP/1.1 407 ");
    await connect.over();
    expect(harness.caller.called).toEqual([]);
  });

  test("CONNECT with the right ones gets through", async () => {
    await using service = await RawService.listen((socket) => socket.pipe(socket));
    await using harness = await ProxyHarness.start({ credentials });
    const place = `127.0.0.1:${service.port}`;
    const program = await harness.program(
      `CONNECT ${place} HTTP/1.1\r\nHost: ${place}\r\n${basic("me:se:cret\u00fc")}\r\nhello`,
    );
    await program.says("established\r\n\r\nhello");
  });
});
