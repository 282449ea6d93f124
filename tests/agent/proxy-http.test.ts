import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { within } from "../blackbox/programs/within.ts";
import { answering, NodeService, RawService } from "../origins/places.ts";
import { FakePipeEnd } from "../shared/fake-pipe-end.ts";
import { answer, limitMs, noAuth, ProxyHarness } from "./proxy-harness.ts";

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const crlf = "\r\n\r\n";

describe("a request in absolute form", () => {
  test("reaches the origin in origin form, with the URL's Host and nothing that was for the proxy", async () => {
    let seen = "";
    await using service = await RawService.listen(
      answering((head) => {
        seen = head;
        return ok;
      }),
    );
    await using harness = await ProxyHarness.start();
    harness.caller.routes.set("one.test:8080", service.port);
    const program = await harness.program(
      "GET http://one.test:8080/a%2Fb/../c?x=1&y=%20 HTTP/1.1\r\nAccept: */*\r\nHost: other.test\r\n",
      "Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic eDp5\r\nProxy-Features: x\r\n",
      "Connection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nX-A: 1\r\nX-a: 2\r\n\r\n",
    );
    expect((await answer(program)).body).toBe("ok");
    expect(seen).toBe(
      "GET /a%2Fb/../c?x=1&y=%20 HTTP/1.1\r\nHost: one.test:8080\r\nAccept: */*\r\nX-A: 1\r\nX-a: 2\r\nConnection: close\r\n\r\n",
    );
  });

  test.each([
    ["GET http://one.test HTTP/1.1", "GET / HTTP/1.1", "one.test", "one.test:80"],
    ["GET http://one.test?q HTTP/1.1", "GET /?q HTTP/1.1", "one.test", "one.test:80"],
    ["GET HTTP://One.Test:80/ HTTP/1.1", "GET / HTTP/1.1", "One.Test:80", "One.Test:80"],
    ["GET http://one.test:/x HTTP/1.1", "GET /x HTTP/1.1", "one.test", "one.test:80"],
    ["OPTIONS http://one.test HTTP/1.1", "OPTIONS * HTTP/1.1", "one.test", "one.test:80"],
    ["OPTIONS http://one.test/ HTTP/1.1", "OPTIONS / HTTP/1.1", "one.test", "one.test:80"],
    ["GET http://[2001:DB8::1]:81/ HTTP/1.1", "GET / HTTP/1.1", "[2001:DB8::1]:81", "[2001:db8::1]:81"],
    ["GET http://127.1/ HTTP/1.1", "GET / HTTP/1.1", "127.1", "127.1:80"],
    ["BREW http://one.test/ HTTP/1.1", "BREW / HTTP/1.1", "one.test", "one.test:80"],
  ])("%s becomes %s for %s", async (line, onward, host, target) => {
    let seen = "";
    await using service = await RawService.listen(
      answering((head) => {
        seen = head;
        return ok;
      }),
    );
    await using harness = await ProxyHarness.start();
    harness.caller.routes.set(target, service.port);
    const program = await harness.program(`${line}\r\nHost: x\r\n\r\n`);
    await answer(program);
    expect(seen).toStartWith(`${onward}\r\nHost: ${host}\r\n`);
    expect(harness.caller.called).toEqual([target]);
  });

  test("of HTTP/1.0 needs no Host, and its answer has no chunks", async () => {
    await using service = await NodeService.listen((_request, response) => {
      response.write("in ");
      response.end("pieces");
    });
    await using harness = await ProxyHarness.start();
    const program = await harness.program(`GET http://127.0.0.1:${service.target.port}/ HTTP/1.0\r\n\r\n`);
    await program.over();
    expect(program.text).toContain("\r\nConnection: close\r\n");
    expect(program.text.toLowerCase()).not.toContain("transfer-encoding");
    expect(program.text).toEndWith(`${crlf}in pieces`);
  });

  test("of HTTP/1.0 gets no 1xx heads", async () => {
    await using service = await RawService.listen(
      answering(() => `HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n${ok}`),
    );
    await using harness = await ProxyHarness.start();
    const program = await harness.program(`GET http://127.0.0.1:${service.port}/ HTTP/1.0\r\n\r\n`);
    await program.over();
    expect(program.text).toStartWith("HTTP/1.1 200 OK\r\n");
  });

  test("requests one after the other on one socket go to different hosts, also when they come all at once", async () => {
    await using one = await NodeService.listen((request, response) => response.end(`one ${request.url}`));
    await using two = await NodeService.listen((request, response) => response.end(`two ${request.url}`));
    await using harness = await ProxyHarness.start();
    harness.caller.routes.set("one.test:80", Number(one.target.port));
    harness.caller.routes.set("two.test:80", Number(two.target.port));
    const get = (host: string, path: string): string =>
      `GET http://${host}.test/${path} HTTP/1.1\r\nHost: ${host}.test\r\n\r\n`;
    const program = await harness.program(get("one", "a"));
    expect((await answer(program)).body).toBe("one /a");
    program.write(get("two", "b"));
    expect((await answer(program)).body).toBe("two /b");
    program.write(get("one", "c"), get("two", "d"), get("one", "e"));
    expect((await answer(program)).body).toBe("one /c");
    expect((await answer(program)).body).toBe("two /d");
    expect((await answer(program)).body).toBe("one /e");
    await harness.ended(5);
    expect(harness.events.map(({ target, end }) => `${target} ${end}`)).toEqual(
      ["one", "two", "one", "two", "one"].map((name) => `${name}.test:80 closed`),
    );
    expect(program.ended).toBe(false);
  });

  test("a body with a length and a chunked one with trailers arrive as they were, and trailers come back", async () => {
    await using service = await NodeService.listen((request, response) => {
      const hash = createHash("sha256");
      request.on("data", (chunk: Buffer) => hash.update(chunk));
      request.on("end", () => {
        response.setHeader("Trailer", "X-Sum");
        response.write(`${request.headers["transfer-encoding"] ?? request.headers["content-length"]}`);
        response.addTrailers({ "X-Sum": hash.digest("hex"), "X-Sent": request.trailers["x-sent"] ?? "none" });
        response.end();
      });
    });
    await using harness = await ProxyHarness.start();
    const body = Buffer.alloc(300_000, "0123456789abc");
    const sum = createHash("sha256").update(body).digest("hex");
    const url = `http://127.0.0.1:${service.target.port}/`;
    const program = await harness.program(
      `POST ${url} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n`,
      body,
    );
    await program.says(`X-Sum: ${sum}\r\nX-Sent: none\r\n\r\n`);
    expect(program.text).toContain("\r\n\r\n6\r\n300000\r\n0\r\n");
    program.bytes = Buffer.alloc(0);
    program.write(`POST ${url} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`);
    for (let at = 0; at < body.length; at += 100_000)
      program.write(`${(100_000).toString(16)};ext=1\r\n`, body.subarray(at, at + 100_000), "\r\n");
    program.write("0\r\nX-Sent: yes\r\nProxy-Authorization: no\r\n\r\n");
    await program.says(`X-Sum: ${sum}\r\nX-Sent: yes\r\n\r\n`);
    expect(program.text).toContain("\r\n\r\n7\r\nchunked\r\n0\r\n");
  });

  test("100 Continue comes from the origin, and the body only after it", async () => {
    let bodyBefore = false;
    await using service = await RawService.listen((socket) => {
      socket.once("data", (bytes) => {
        bodyBefore = bytes.toString().includes("body");
        socket.write("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
        socket.once("data", (more) => socket.end(`HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n${more}`));
      });
    });
    await using harness = await ProxyHarness.start();
    const program = await harness.program(
      `PUT http://127.0.0.1:${service.port}/ HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n`,
    );
    await program.says("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
    program.write("body");
    await program.says("\r\n\r\nbody");
    expect(bodyBefore).toBe(false);
  });

  test("an answer until close becomes chunks and the socket stays; HEAD, 204 and 304 have no body", async () => {
    await using service = await RawService.listen((socket) => {
      socket.on("data", (bytes) => {
        const head = bytes.toString();
        if (head.startsWith("HEAD")) socket.end("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
        else if (head.includes("/204")) socket.end("HTTP/1.1 204 No Content\r\n\r\n");
        else socket.end("HTTP/1.0 200 OK\r\n\r\nuntil the end");
      });
    });
    await using harness = await ProxyHarness.start();
    const url = `http://127.0.0.1:${service.port}/`;
    const program = await harness.program(`HEAD ${url} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await program.says(`Content-Length: 1000${crlf}`);
    program.write(`GET ${url}204 HTTP/1.1\r\nHost: x\r\n\r\n`);
    await program.says(`204 No Content${crlf}`);
    program.write(`GET ${url} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await program.says(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nd\r\nuntil the end\r\n0\r\n\r\n",
    );
    expect(program.ended).toBe(false);
  });

  test("a redirect is the program's to follow", async () => {
    await using service = await RawService.listen(
      answering(() => "HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/\r\nContent-Length: 0\r\n\r\n"),
    );
    await using harness = await ProxyHarness.start();
    const program = await harness.program(
      `GET http://127.0.0.1:${service.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`,
    );
    expect((await answer(program)).head).toContain("Location: http://10.0.0.1/\r\n");
    expect(harness.caller.called).toEqual([`127.0.0.1:${service.port}`]);
  });

  test("an upgrade goes on as bytes, those that came right behind the heads included", async () => {
    let seen = "";
    await using service = await RawService.listen((socket) => {
      socket.once("data", (bytes) => {
        seen = bytes.toString();
        socket.write(
          "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nfirst ",
        );
        socket.pipe(socket);
      });
    });
    await using harness = await ProxyHarness.start();
    const program = await harness.program(
      `GET http://127.0.0.1:${service.port}/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly \0\xff`,
    );
    await program.says("\r\n\r\nfirst early \0\xff");
    expect(seen).toContain("\r\nConnection: upgrade\r\nUpgrade: echo\r\n");
    expect(seen).not.toContain("close");
    program.socket.end("late");
    await program.says("late");
    await program.over();
    await harness.ended(1);
    expect(harness.events[0]).toMatchObject({ end: "closed" });
  });

  test("an upgrade that the origin does not take leaves no socket on which its bytes could be read as a request", async () => {
    await using service = await RawService.listen(answering(() => ok));
    await using harness = await ProxyHarness.start();
    const program = await harness.program(
      `GET http://127.0.0.1:${service.port}/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n`,
      "GET http://stolen.test/ HTTP/1.1\r\nHost: stolen.test\r\n\r\n",
    );
    expect((await answer(program)).head).toContain("\r\nConnection: close\r\n");
    await program.over();
    expect(harness.caller.called).toHaveLength(1);
  });

  test("an answer that breaks off breaks off for the program", async () => {
    await using service = await RawService.listen((socket) => {
      socket.once("data", () => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"));
    });
    await using harness = await ProxyHarness.start();
    const program = await harness.program(
      `GET http://127.0.0.1:${service.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`,
    );
    await program.until(() => program.closed);
    expect(program.reset).toBe(true);
    expect(harness.events).toMatchObject([{ end: "reset", code: "origin-closed" }]);
  });

  test("an answer before the upload's end does not end the upload", async () => {
    let received = 0;
    const all = Promise.withResolvers<void>();
    await using service = await RawService.listen((socket) => {
      socket.once("data", () => socket.write(ok));
      socket.on("data", (bytes) => {
        received += bytes.length;
        if (received > 100_000) all.resolve();
      });
      socket.on("end", () => socket.end());
    });
    await using harness = await ProxyHarness.start();
    const url = `http://127.0.0.1:${service.port}/`;
    const program = await harness.program(
      `POST ${url} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n`,
    );
    expect((await answer(program)).body).toBe("ok");
    program.write(Buffer.alloc(100_000, "u"));
    await harness.ended(1);
    await within(all.promise, limitMs, () => `the upload, ${received} bytes have come`);
    program.write(`GET ${url} HTTP/1.1\r\nHost: x\r\n\r\n`);
    expect((await answer(program)).body).toBe("ok");
  });

  test("an answer before the upload's end on the last request of a socket breaks the upload off", async () => {
    await using harness = await ProxyHarness.start();
    const far = new FakePipeEnd();
    harness.caller.silent.set("a.test:80", far);
    const program = await harness.program(
      "POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nContent-Length: 9\r\n\r\n1",
    );
    await far.until(() => far.text.endsWith(`${crlf}1`));
    far.says(ok);
    await program.over();
    expect((await answer(program)).body).toBe("ok");
    expect(far.abortedWith).toBe("cancelled");
  });

  test("a program that leaves in mid-answer resets the stream, one that half-closes gets its answer", async () => {
    await using harness = await ProxyHarness.start();
    const far = new FakePipeEnd();
    harness.caller.silent.set("slow.test:80", far);
    const get = "GET http://slow.test/ HTTP/1.1\r\nHost: slow.test\r\n\r\n";
    const leaver = await harness.program(get);
    await far.until(() => far.text.endsWith(crlf));
    far.says("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome");
    await leaver.says("some");
    leaver.socket.resetAndDestroy();
    await far.until(() => far.abortedWith !== undefined);
    expect(far.abortedWith).toBe("cancelled");
    const patient = new FakePipeEnd();
    harness.caller.silent.set("slow.test:80", patient);
    const half = await harness.program(get);
    half.socket.end();
    await patient.until(() => patient.ended);
    patient.says(ok);
    await half.says("\r\n\r\nok");
    await half.over();
    expect(half.reset).toBe(false);
  });
});

describe("CONNECT", () => {
  test("answers 200 once the far side is open, and then carries bytes", async () => {
    await using service = await RawService.listen((socket) => socket.pipe(socket));
    await using harness = await ProxyHarness.start();
    let open = (): void => {};
    const dialled = harness.caller.tcp.bind(harness.caller);
    const reached = Promise.withResolvers<void>();
    harness.caller.tcp = (target, opened) =>
      dialled(target, () => {
        open = opened;
        reached.resolve();
      });
    const place = `127.0.0.1:${service.port}`;
    const program = await harness.program(`CONNECT ${place} HTTP/1.1\r\nHost: ${place}\r\n\r\nearly`);
    await reached.promise;
    expect(program.text).toBe("");
    open();
    await program.says(`HTTP/1.1 200 Connection established${crlf}early`);
    program.socket.end(" late");
    await program.says("early late");
    await program.over();
    await harness.ended(1);
    expect(harness.events).toEqual([
      { event: "stream", kind: "proxy", target: place, bytesIn: 10, bytesOut: 10, end: "closed" },
    ]);
  });

  test("passes on a half-close that came before the answer", async () => {
    await using service = await RawService.listen((socket) => {
      socket.on("data", () => {});
      socket.on("end", () => socket.end("that was all"));
    });
    await using harness = await ProxyHarness.start();
    const place = `127.0.0.1:${service.port}`;
    const program = await harness.program(`CONNECT ${place} HTTP/1.1\r\nHost: ${place}\r\n\r\n`);
    program.socket.end();
    await program.says("that was all");
  });

  test("to an IPv6 address, and in HTTP/1.0 without Host", async () => {
    await using service = await RawService.listen((socket) => socket.pipe(socket));
    await using harness = await ProxyHarness.start();
    harness.caller.routes.set("[::1]:443", service.port);
    const program = await harness.program("CONNECT [::1]:443 HTTP/1.0\r\n\r\n");
    await program.says("200 Connection established");
  });

  test("that fails ends the socket: what follows is never read as a request", async () => {
    await using harness = await ProxyHarness.start();
    harness.caller.refusals.set("no.test:443", "egress-denied");
    const program = await harness.program(
      "CONNECT no.test:443 HTTP/1.1\r\nHost: no.test:443\r\n\r\n",
      "GET http://stolen.test/ HTTP/1.1\r\nHost: stolen.test\r\n\r\n",
    );
    await program.over();
    expect(program.text).toStartWith("HTTP/1.1 403 Forbidden\r\nUnderpass-Error: egress-denied\r\n");
    expect(program.text).toContain("\r\nConnection: close\r\n");
    expect(harness.caller.called).toEqual(["no.test:443"]);
  });
});

test("close lets what is under way finish, ends what is idle, and resolves when all is done", async () => {
  await using harness = await ProxyHarness.start();
  const idle = await harness.program("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  await answer(idle);
  const begun = await harness.program(noAuth);
  await begun.take(2);
  const far = new FakePipeEnd();
  harness.caller.silent.set("slow.test:80", far);
  const busy = await harness.program("GET http://slow.test/ HTTP/1.1\r\nHost: slow.test\r\n\r\n");
  await far.until(() => far.text !== "");
  const closed = harness.proxy.close(60_000);
  await idle.until(() => idle.closed);
  await begun.until(() => begun.closed);
  expect(busy.closed).toBe(false);
  far.says(ok);
  await busy.says("\r\n\r\nok");
  busy.socket.end();
  await closed;
  expect(harness.proxy.sockets).toBe(0);
});
