import { afterAll, describe, expect, test } from "bun:test";
import { RelayDialer } from "../../shared/dial/dial.ts";
import { UnderpassError } from "../../shared/errors.ts";
import { HttpReader } from "../../shared/http1/reader.ts";
import type { Link } from "../../shared/link.ts";
import { WebSocketLink } from "../../shared/links/websocket.ts";
import { dial, listen } from "../../shared/runtimes/bun-sockets.ts";
import { systemClock as clock } from "../../shared/runtimes/system-clock.ts";
import { acceptFields, checkUpgradeRequest } from "../../shared/websocket/upgrade.ts";
import { LinkEar } from "../conformance/link-ear.ts";

const sizes = [0, 1, 125, 126, 65_535, 65_536];
const payload = (size: number): Uint8Array<ArrayBuffer> =>
  new Uint8Array(size).map((_, i) => (i * 13) ^ size);

describe("our agent's end against Bun's own listener", () => {
  const pongs: string[] = [];
  const closes: [number, string][] = [];
  const { promise: closed, resolve: resolveClosed } = Promise.withResolvers<void>();
  const { promise: ponged, resolve: resolvePonged } = Promise.withResolvers<void>();
  const listener = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request, self) {
      const headers = { "Sec-WebSocket-Protocol": "underpass.1" };
      return self.upgrade(request, { headers, data: undefined })
        ? undefined
        : new Response("no", { status: 400 });
    },
    websocket: {
      perMessageDeflate: true,
      open: (socket) => void socket.ping("are you there?"),
      message(socket, message) {
        if (message === "close me") socket.close(4_002, "as asked");
        else socket.send(message, false);
      },
      pong(_socket, data) {
        pongs.push(data.toString());
        resolvePonged();
      },
      close(_socket, code, reason) {
        closes.push([code, reason]);
        if (closes.length === 2) resolveClosed();
      },
    },
  });
  afterAll(() => listener.stop(true));
  const open = async (): Promise<LinkEar> => {
    const relay = new URL(`http://127.0.0.1:${listener.port}`);
    const dialer = new RelayDialer({ relay, dial, clock, insecure: false });
    const link = await new Promise<Link | UnderpassError>((done) => {
      dialer.openLink({ name: "blue", kind: "http" }, undefined, done);
    });
    if (link instanceof UnderpassError) throw link;
    return new LinkEar(link);
  };

  test("messages and texts come back, pings are answered, closes go both ways", async () => {
    const ear = await open();
    for (const size of sizes) ear.link.send(payload(size));
    ear.link.sendText("grüße");
    await ear.until(() => ear.texts.length === 1);
    expect(ear.texts).toEqual(["grüße"]);
    expect(ear.messages).toEqual(sizes.map(payload));
    await ponged;
    expect(pongs[0]).toBe("are you there?");
    ear.link.sendText("close me");
    await ear.until(() => ear.closes.length === 1);
    expect(ear.closes).toEqual([[4_002, "as asked"]]);
    const second = await open();
    second.link.close(4_003, "enough");
    await second.until(() => second.closes.length === 1);
    expect(second.closes[0]?.[0]).toBe(4_003);
    await closed;
    expect(closes).toEqual([
      [4_002, "as asked"],
      [4_003, "enough"],
    ]);
  });
});

describe("Bun's own WebSocket against our relay's end", () => {
  async function withRelayEnd(run: (url: string, links: LinkEar[]) => Promise<void>): Promise<void> {
    const links: LinkEar[] = [];
    const listener = await listen({ host: "127.0.0.1", port: 0 }, (socket) => {
      const reader: HttpReader<"request"> = new HttpReader("request", {
        head(head) {
          const request = checkUpgradeRequest(head.fields);
          if (typeof request === "string") throw new Error(request);
          expect(request.protocols).toEqual(["underpass.1", "bearer.x"]);
          const fields = acceptFields(request.key, "underpass.1");
          let text = "HTTP/1.1 101 Switching Protocols\r\n";
          for (let i = 0; i < fields.length; i += 2) text += `${fields[i]}: ${fields[i + 1]}\r\n`;
          socket.write(Buffer.from(`${text}\r\n`));
        },
        body() {},
        trailers() {},
        end() {
          const early = reader.detach();
          const link = new WebSocketLink(socket, { role: "relay", clock, early });
          links.push(
            new LinkEar(link, { message: (bytes) => link.send(bytes), text: (text) => link.sendText(text) }),
          );
        },
        fault: (fault) => {
          throw fault;
        },
      });
      const ignore = (): void => {};
      socket.handler = {
        data: (bytes) => reader.push(bytes),
        drained: ignore,
        ended: ignore,
        closed: ignore,
      };
    });
    try {
      await run(`ws://127.0.0.1:${listener.port}/_underpass/links/blue`, links);
    } finally {
      listener.close();
    }
  }

  async function openNative(url: string) {
    const socket = new WebSocket(url, ["underpass.1", "bearer.x"]);
    socket.binaryType = "arraybuffer";
    const heard: (string | Uint8Array)[] = [];
    const { promise: closed, resolve } = Promise.withResolvers<CloseEvent>();
    let wanted = Number.POSITIVE_INFINITY;
    let reached = (): void => {};
    socket.onmessage = ({ data }) => {
      heard.push(typeof data === "string" ? data : new Uint8Array(data));
      if (heard.length >= wanted) reached();
    };
    socket.onclose = resolve;
    await new Promise<void>((opened, reject) => {
      socket.onopen = () => opened();
      socket.onerror = () => reject(new Error("not opened"));
    });
    const until = (count: number): Promise<void> => {
      wanted = count;
      if (heard.length >= count) return Promise.resolve();
      return new Promise((resolve) => {
        reached = resolve;
      });
    };
    return { socket, heard, closed, until };
  }

  test("messages and texts come back, and its close is answered", () =>
    withRelayEnd(async (url, links) => {
      const { socket, heard, closed, until } = await openNative(url);
      expect([socket.protocol, socket.extensions]).toEqual(["underpass.1", ""]);
      for (const size of sizes) socket.send(payload(size));
      socket.send("grüße");
      await until(sizes.length + 1);
      expect(heard).toEqual([...sizes.map(payload), "grüße"]);
      socket.close(4_004, "thanks");
      const event = await closed;
      expect([event.code, event.wasClean]).toEqual([4_004, true]);
      await links[0]?.until(() => links[0]?.closes.length === 1);
      expect(links[0]?.closes).toEqual([[4_004, "thanks"]]);
    }));

  test("a message above 64 KiB is closed with 1009, and our own close arrives with its reason", () =>
    withRelayEnd(async (url, links) => {
      const big = await openNative(url);
      big.socket.send(new Uint8Array(65_537));
      expect((await big.closed).code).toBe(1_009);
      const other = await openNative(url);
      links[1]?.link.close(1_001, "going-away");
      const event = await other.closed;
      expect([event.code, event.reason]).toEqual([1_001, "going-away"]);
    }));
});
