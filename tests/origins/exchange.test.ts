import { describe, expect, test } from "bun:test";
import type net from "node:net";
import { encodeLatin1 } from "../../shared/http1/latin1.ts";
import { get, visit } from "./fake-stream.ts";
import { answering, NodeService, placeFor, RawService } from "./places.ts";

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const host = "Host: visitor.example";

describe("an exchange with node:http", () => {
  test("brings head, body and end, and is logged once", async () => {
    await using service = await NodeService.listen((_request, response) => response.end("hello"));
    using place = placeFor(service.target);
    const stream = get(place.origin, "/a%2Fb?x=1");
    await stream.over;
    expect([stream.status, stream.body, stream.ended, stream.resetCode]).toEqual([
      200,
      "hello",
      true,
      undefined,
    ]);
    expect(place.log).toMatchObject([
      { event: "request", method: "GET", path: "/a%2Fb?x=1", status: 200, bytesIn: 0, bytesOut: 5 },
    ]);
    expect(place.log[0]).not.toHaveProperty("code");
  });

  test("uses one socket for one exchange after the other", async () => {
    await using service = await NodeService.listen((request, response) => response.end(request.url));
    using place = placeFor(service.target);
    for (let i = 0; i < 5; i++) {
      const stream = get(place.origin, `/${i}`);
      await stream.over;
      expect(stream.body).toBe(`/${i}`);
    }
    expect(service.sockets).toBe(1);
    expect(place.origin.idleSockets).toBe(1);
  });

  test("HEAD, 204 and 304 end at once, and the socket stays", async () => {
    await using service = await NodeService.listen((request, response) => {
      response.statusCode = Number(request.url?.slice(1));
      if (request.method === "HEAD") response.setHeader("Content-Length", 1_000);
      response.end();
    });
    using place = placeFor(service.target);
    for (const [method, status] of [
      ["HEAD", 200],
      ["GET", 204],
      ["GET", 304],
      ["GET", 200],
    ] as const) {
      const stream = visit(place.origin, [`${method} /${status} HTTP/1.1`, host]);
      await stream.over;
      expect([stream.status, stream.body, stream.resetCode]).toEqual([status, "", undefined]);
    }
    expect(service.sockets).toBe(1);
  });

  test("sends bodies with a length and chunked ones, and gets them back", async () => {
    await using service = await NodeService.listen((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => response.end(Buffer.concat(chunks)));
    });
    using place = placeFor(service.target);
    for (const size of [0, 1, 1_000, 200_000]) {
      const body = "x".repeat(size);
      for (const announced of [`Content-Length: ${size}`, "Transfer-Encoding: chunked"]) {
        const stream = visit(place.origin, ["PUT / HTTP/1.1", host, announced], { open: true });
        for (let at = 0; at < size; at += 60_000)
          stream.handler.data(encodeLatin1(body.slice(at, at + 60_000)));
        stream.handler.end();
        await stream.over;
        expect(stream.body).toBe(body);
        expect(stream.resetCode).toBeUndefined();
      }
    }
    expect(service.sockets).toBe(1);
    expect(place.log.map(({ bytesIn, bytesOut }) => [bytesIn, bytesOut])).toContainEqual([200_000, 200_000]);
  });

  test("1xx heads and trailers go through", async () => {
    await using service = await RawService.listen(
      answering(
        () =>
          "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" +
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Sum\r\n\r\n2\r\nab\r\n0\r\nSum: 3\r\n\r\n",
      ),
    );
    using place = placeFor(service.target);
    const stream = get(place.origin, "/");
    await stream.over;
    expect(stream.heads.map(({ status }) => status)).toEqual([100, 103, 200]);
    expect([stream.body, stream.trailers]).toEqual(["ab", "Sum: 3\r\n"]);
    expect(place.origin.idleSockets).toBe(1);
  });

  test("request trailers reach the origin", async () => {
    const seen = Promise.withResolvers<string>();
    await using service = await RawService.listen((socket) => {
      let text = "";
      socket.on("data", (bytes) => {
        text += bytes;
        if (text.endsWith("Sum: 3\r\n\r\n")) seen.resolve(text);
      });
    });
    using place = placeFor(service.target);
    const stream = visit(place.origin, ["POST / HTTP/1.1", host, "Transfer-Encoding: chunked"], {
      open: true,
      body: "abc",
    });
    stream.handler.head(new Uint8Array([2, 0, 8, ...encodeLatin1("Sum: 3\r\n")]));
    stream.handler.end();
    expect((await seen.promise).split("\r\n\r\n")[1]).toBe("3\r\nabc\r\n0\r\nSum: 3");
  });
});

describe("the request's head", () => {
  const sent = async (lines: string[], hostHeader: string): Promise<string[]> => {
    const heads: string[] = [];
    await using service = await RawService.listen(
      answering((head) => {
        heads.push(head);
        return ok;
      }),
    );
    using place = placeFor(service.target, { hostHeader });
    await visit(place.origin, lines).over;
    return (heads[0] ?? "").replaceAll(String(service.port), "PORT").split("\r\n").slice(0, -2);
  };

  test("arrives byte for byte as it came", async () => {
    const lines = [
      "pUrGe /a//b/../%2f;x?y#z HTTP/1.1",
      "hOsT: visitor.example",
      "X-A: 1",
      "x-a: \xe9\x80",
      "X-A: ",
    ];
    expect(await sent(lines, "visitor")).toEqual(lines);
  });

  test("has the Host that was asked for, at its place", async () => {
    const lines = ["GET / HTTP/1.1", "A: b", "HOST: visitor.example"];
    expect(await sent(lines, "origin")).toEqual(["GET / HTTP/1.1", "A: b", "HOST: 127.0.0.1:PORT"]);
    expect(await sent(lines, "fixed.example")).toEqual(["GET / HTTP/1.1", "A: b", "HOST: fixed.example"]);
    expect(await sent(["GET / HTTP/1.0"], "fixed.example")).toEqual([
      "GET / HTTP/1.0",
      "Host: fixed.example",
    ]);
  });

  for (const [name, lines] of [
    ["two Hosts", ["GET / HTTP/1.1", host, host]],
    ["both framings", ["POST / HTTP/1.1", host, "Content-Length: 1", "Transfer-Encoding: chunked"]],
    ["a folded line", ["GET / HTTP/1.1", host, " x"]],
    ["CONNECT", ["CONNECT a:1 HTTP/1.1", host]],
    ["an empty line", ["GET / HTTP/1.1", host, ""]],
    ["nothing", []],
  ] as const) {
    test(`with ${name} is refused without touching the origin`, async () => {
      await using service = await RawService.listen(() => {});
      using place = placeFor(service.target);
      const stream = visit(place.origin, lines);
      expect(stream.resetCode).toBe("head-invalid");
      expect(service.sockets).toHaveLength(0);
    });
  }
});

describe("a body that disagrees with its head", () => {
  for (const [name, announced, body, end] of [
    ["longer than Content-Length", "Content-Length: 2", "abc", false],
    ["shorter than Content-Length", "Content-Length: 4", "abc", true],
    ["not announced at all", "A: b", "abc", false],
  ] as const) {
    test(`${name}: head-invalid, and the origin sees an abort`, async () => {
      const closed = Promise.withResolvers<void>();
      await using service = await RawService.listen((socket) => socket.on("close", () => closed.resolve()));
      using place = placeFor(service.target);
      const stream = visit(place.origin, ["POST / HTTP/1.1", host, announced], { open: true });
      await stream.until(() => stream.heldBytes !== undefined);
      stream.handler.data(encodeLatin1(body));
      if (end) stream.handler.end();
      expect(stream.resetCode).toBe("head-invalid");
      await closed.promise;
    });
  }
});

describe("when it fails", () => {
  const failing = async (accept: (socket: net.Socket) => void) => {
    await using service = await RawService.listen(accept);
    using place = placeFor(service.target);
    const stream = get(place.origin, "/");
    await stream.until(() => stream.closed);
    expect(place.log).toHaveLength(1);
    return { stream, log: place.log[0] };
  };

  test("nothing listens: origin-refused", async () => {
    const service = await RawService.listen(() => {});
    const { target } = service;
    await service[Symbol.asyncDispose]();
    using place = placeFor(target);
    const stream = get(place.origin, "/");
    await stream.over;
    expect(stream.resetCode).toBe("origin-refused");
    expect(place.log).toMatchObject([{ status: 502, code: "origin-refused" }]);
  });

  test("the origin is silent: origin-timeout", async () => {
    await using service = await RawService.listen(() => {});
    using place = placeFor(service.target, { headTimeoutMs: 20 });
    const stream = get(place.origin, "/");
    await stream.over;
    expect(stream.resetCode).toBe("origin-timeout");
    expect(place.log).toMatchObject([{ status: 504, code: "origin-timeout" }]);
  });

  test("it closes without an answer: origin-closed", async () => {
    const { stream, log } = await failing((socket) => socket.on("data", () => socket.end()));
    expect([stream.resetCode, log?.status]).toEqual(["origin-closed", 502]);
  });

  test("it speaks something else: origin-invalid", async () => {
    const { stream } = await failing((socket) => socket.write("220 mail.example ESMTP\r\n\r\n"));
    expect(stream.resetCode).toBe("origin-invalid");
  });

  test("it answers 101 where nobody asked: origin-invalid", async () => {
    const { stream } = await failing(
      answering(() => "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
    );
    expect(stream.resetCode).toBe("origin-invalid");
  });

  test("it breaks off in mid-body: the visitor must see an abort, in every framing", async () => {
    for (const framing of ["Content-Length: 9", "Transfer-Encoding: chunked"]) {
      const { stream, log } = await failing((socket) => {
        socket.on("data", () => socket.end(`HTTP/1.1 200 OK\r\n${framing}\r\n\r\n5\r\nhel`));
      });
      expect([stream.status, stream.ended, stream.resetCode]).toEqual([200, false, "origin-closed"]);
      expect(log).toMatchObject({ status: 200, code: "origin-closed" });
    }
    const { stream } = await failing((socket) => {
      socket.on("data", () => socket.write("HTTP/1.1 200 OK\r\n\r\nhel", () => socket.resetAndDestroy()));
    });
    expect([stream.status, stream.ended, stream.resetCode]).toEqual([200, false, "origin-closed"]);
  });

  test("the visitor goes away: the origin sees it, and no socket is kept", async () => {
    const closed = Promise.withResolvers<void>();
    const arrived = Promise.withResolvers<void>();
    await using service = await RawService.listen((socket) => {
      socket.on("data", () => arrived.resolve());
      socket.on("close", () => closed.resolve());
    });
    using place = placeFor(service.target);
    const stream = get(place.origin, "/");
    await arrived.promise;
    stream.handler.reset("cancelled");
    await closed.promise;
    expect(place.log).toMatchObject([{ status: 0, code: "cancelled" }]);
    expect(place.origin.idleSockets).toBe(0);
  });

  test("the visitor goes away while the socket is being opened: nothing is sent", async () => {
    using place = placeFor({ host: "127.0.0.1", port: 1 });
    const stream = get(place.origin, "/");
    stream.handler.reset("cancelled");
    expect(place.log).toMatchObject([{ status: 0, code: "cancelled" }]);
  });

  test("the visitor half-closes: so does the origin's socket, and the answer still comes", async () => {
    await using service = await RawService.listen((socket) => {
      socket.resume();
      socket.on("end", () => socket.end(ok));
    });
    using place = placeFor(service.target);
    const stream = get(place.origin, "/");
    stream.handler.left();
    await stream.over;
    expect([stream.body, stream.resetCode]).toEqual(["ok", undefined]);
    expect(place.origin.idleSockets).toBe(0);
  });
});
