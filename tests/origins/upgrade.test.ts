import { describe, expect, test } from "bun:test";
import { fieldValue } from "../../shared/http1/head.ts";
import { encodeLatin1 } from "../../shared/http1/latin1.ts";
import { visit } from "./fake-stream.ts";
import { answering, placeFor, RawService } from "./places.ts";

const host = "Host: visitor.example";

describe("an upgrade", () => {
  const upgrade = ["GET /ws HTTP/1.1", host, "Connection: Upgrade", "Upgrade: echo"];
  const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";

  test("goes on as bytes both ways, each with its own end", async () => {
    const heads: string[] = [];
    await using service = await RawService.listen((socket) => {
      socket.once("data", (head) => {
        heads.push(head.toString());
        socket.write(`${switching}first`);
        socket.on("data", (bytes) => socket.write(bytes));
        socket.on("end", () => socket.end("last"));
      });
    });
    using place = placeFor(service.target);
    const stream = visit(place.origin, upgrade, { open: true });
    await stream.until(() => stream.body === "first");
    expect(heads[0]).toBe(
      "GET /ws HTTP/1.1\r\nHost: visitor.example\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n",
    );
    expect(fieldValue(stream.heads[0]?.fields ?? [], "connection")).toBe("upgrade");
    stream.handler.data(encodeLatin1("\0\xffping"));
    await stream.until(() => stream.body === "first\0\xffping");
    stream.handler.end();
    await stream.over;
    expect([stream.body, stream.resetCode]).toEqual(["first\0\xffpinglast", undefined]);
    expect(place.log).toMatchObject([{ status: 101, bytesIn: 6, bytesOut: 15 }]);
    expect(place.log[0]).not.toHaveProperty("code");
  });

  test("that breaks on either side breaks the other", async () => {
    await using service = await RawService.listen((socket) =>
      socket.once("data", () => socket.write(switching)),
    );
    using place = placeFor(service.target);
    const first = visit(place.origin, upgrade, { open: true });
    await first.until(() => first.status === 101);
    service.sockets[0]?.resetAndDestroy();
    await first.over;
    expect(first.resetCode).toBe("origin-closed");

    const second = visit(place.origin, upgrade, { open: true });
    await second.until(() => second.status === 101);
    const socket = service.sockets[1];
    const closed = Promise.withResolvers<void>();
    socket?.on("close", () => closed.resolve());
    second.handler.reset("cancelled");
    await closed.promise;
    expect(place.log.map(({ code }) => code)).toEqual(["origin-closed", "cancelled"]);
  });

  test("that the origin declines is an answer like any other", async () => {
    await using service = await RawService.listen(
      answering(() => "HTTP/1.1 426 No\r\nContent-Length: 0\r\n\r\n"),
    );
    using place = placeFor(service.target);
    const stream = visit(place.origin, upgrade, { open: true });
    await stream.until(() => stream.closed);
    expect([stream.status, stream.ended, stream.resetCode]).toEqual([426, true, "no-error"]);
    expect(place.origin.idleSockets).toBe(1);
  });
});
