import { describe, expect, test } from "bun:test";
import type net from "node:net";
import { get, visit } from "./fake-stream.ts";
import { answering, NodeService, placeFor, RawService } from "./places.ts";

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const host = "Host: visitor.example";

describe("an answer", () => {
  test("without a length ends with the origin's close", async () => {
    await using service = await RawService.listen((socket) => {
      socket.on("data", () => socket.end("HTTP/1.0 200 OK\r\nServer: old\r\n\r\nall of it"));
    });
    using place = placeFor(service.target);
    const stream = get(place.origin, "/");
    await stream.over;
    expect([stream.body, stream.ended, stream.resetCode]).toEqual(["all of it", true, undefined]);
    expect(stream.heads[0]).toMatchObject({ minor: 1, fields: ["Server", "old"] });
  });

  test("is freed of what concerns the origin's hop alone", async () => {
    await using service = await RawService.listen(
      answering(
        () =>
          "HTTP/1.1 200 OK\r\nkEEP-alive: 5\r\nConnection: X-Hop\r\nX-Hop: 1\r\nX-Own: 2\r\nContent-Length: 0\r\n\r\n",
      ),
    );
    using place = placeFor(service.target);
    const stream = get(place.origin, "/");
    await stream.over;
    expect(stream.heads[0]?.fields).toEqual(["X-Own", "2", "Content-Length", "0"]);
  });

  test("before the upload's end, from an origin that closes: the rest of the upload is not wanted, and the socket not kept", async () => {
    const closed = Promise.withResolvers<void>();
    await using service = await RawService.listen((socket) => {
      socket.once("data", () =>
        socket.write("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno"),
      );
      socket.on("close", () => closed.resolve());
    });
    using place = placeFor(service.target);
    const stream = visit(place.origin, ["POST / HTTP/1.1", host, "Content-Length: 100"], {
      open: true,
      body: "abc",
    });
    await stream.until(() => stream.closed);
    expect([stream.status, stream.body, stream.ended, stream.resetCode]).toEqual([
      413,
      "no",
      true,
      "no-error",
    ]);
    expect(place.log).toMatchObject([{ status: 413, bytesIn: 3, bytesOut: 2 }]);
    await closed.promise;
  });

  test("before the upload's end, from an origin that keeps the socket: the rest of the upload still reaches it", async () => {
    const whole = Promise.withResolvers<void>();
    await using service = await RawService.listen((socket) => {
      let got = "";
      socket.once("data", () => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
      socket.on("data", (bytes) => {
        got += bytes.toString("latin1");
        if (got.endsWith("abcdef")) whole.resolve();
      });
    });
    using place = placeFor(service.target);
    const stream = visit(place.origin, ["POST / HTTP/1.1", host, "Content-Length: 6"], {
      open: true,
      body: "abc",
    });
    await stream.until(() => stream.ended);
    expect([stream.status, stream.body, stream.closed]).toEqual([200, "ok", false]);
    stream.handler.data(new TextEncoder().encode("def"));
    stream.handler.end();
    await whole.promise;
    expect(place.log).toMatchObject([{ status: 200, bytesIn: 6, bytesOut: 2 }]);
    expect(place.origin.idleSockets).toBe(1);
  });

  test("is not read from the origin faster than the stream takes it", async () => {
    const total = 16 * 1_048_576;
    await using service = await NodeService.listen((_request, response) =>
      response.end(Buffer.alloc(total, "x")),
    );
    using place = placeFor(service.target);
    const stream = get(place.origin, "/");
    stream.highBytes = 65_536;
    await stream.until(() => stream.queued > stream.highBytes);
    let most = 0;
    while (!stream.ended) {
      most = Math.max(most, stream.queued);
      stream.queued = 0;
      stream.handler.writable();
      await stream.until(() => stream.queued > stream.highBytes || stream.ended);
    }
    expect(stream.body).toHaveLength(total);
    expect(most).toBeLessThan(1_048_576);
    expect(stream.status).toBe(200);
  });

  test("an upload that the origin does not read is held, until it reads", async () => {
    const accepted = Promise.withResolvers<net.Socket>();
    await using service = await RawService.listen((socket) => {
      socket.pause();
      accepted.resolve(socket);
    });
    using place = placeFor(service.target);
    const size = 16 * 1_048_576;
    const stream = visit(place.origin, ["POST / HTTP/1.1", host, `Content-Length: ${size}`], { open: true });
    await stream.until(() => stream.heldBytes !== undefined);
    stream.handler.data(new Uint8Array(size));
    expect(stream.heldBytes).toBeGreaterThan(1_048_576);
    const socket = await accepted.promise;
    let read = 0;
    socket.on("data", (bytes) => {
      read += bytes.length;
    });
    socket.resume();
    await stream.until(() => stream.heldBytes === 0);
    stream.handler.end();
    socket.write(ok);
    await stream.over;
    expect(read).toBeGreaterThan(8 * 1_048_576);
    expect(stream.body).toBe("ok");
  });
});
