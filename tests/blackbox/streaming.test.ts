import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { relayRuntime } from "./programs/relay.ts";
import { startTunnel, type Tunnel } from "./programs/tunnel.ts";
import { within } from "./programs/within.ts";
import { answerOk, type Exchange, RawOrigin } from "./raw/origin.ts";
import { type Answer, Visitor, visit } from "./raw/visitor.ts";

const testLimitMs = 60_000;
const waitLimitMs = 20_000;
const mebibyte = 1024 * 1024;
const bigMebibytes = 64;
const block = Buffer.from(Array.from({ length: mebibyte }, (_, i) => (i * 7 + (i >> 8)) & 255));

/** The hash of `bigMebibytes` blocks, each beginning with its number. */
const bigSha256 = (() => {
  const hash = createHash("sha256");
  for (let i = 0; i < bigMebibytes; i++) hash.update(numbered(i));
  return hash.digest("hex");
})();

function numbered(i: number): Buffer {
  const copy = Buffer.from(block);
  copy.writeUInt32BE(i);
  return copy;
}

async function sendBig(send: (bytes: Uint8Array) => Promise<void>): Promise<void> {
  for (let i = 0; i < bigMebibytes; i++) await send(numbered(i));
}

let origin: RawOrigin;
let tunnel: Tunnel;

beforeAll(async () => {
  origin = await RawOrigin.listen();
  tunnel = await startTunnel({ origin: origin.port });
}, testLimitMs);
afterAll(async () => {
  await tunnel?.close();
  await origin?.close();
});

async function get(path: string): Promise<{ visitor: Visitor; answer: Answer }> {
  const visitor = await Visitor.connect(tunnel.target);
  await visitor.send(`GET ${path} HTTP/1.1\r\nHost: HOST\r\nAccept-Encoding: identity\r\n\r\n`);
  return { visitor, answer: await visitor.answer() };
}

/** workerd takes a FIN alone for a half-close, and tells nobody; a browser's visit at Cloudflare ends at its edge. */
function leave(visitor: Visitor): void {
  if (relayRuntime === "workerd") visitor.wire.abort();
  else visitor.close();
}

const eventStream =
  "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;

test("an event reaches the visitor before the origin sends the next one", async () => {
  const asked = Promise.withResolvers<Exchange>();
  origin.script = async (exchange) => {
    asked.resolve(exchange);
    await exchange.wire.over;
  };
  const pending = get("/events");
  const exchange = await asked.promise;
  await exchange.send(eventStream);
  const { visitor, answer } = await pending;
  expect(answer.head.field("content-type")).toBe("text/event-stream");
  for (let i = 0; i < 20; i++) {
    const event = `data: ${i}\n\n`;
    await exchange.send(chunk(event));
    expect(await within(answer.body.atLeast(event.length), waitLimitMs, () => `event ${i}`)).toBe(event);
  }
  leave(visitor);
  await exchange.wire.over;
});

test(
  "200 visitors of an event stream all get each event",
  async () => {
    const listeners: Exchange[] = [];
    const all = Promise.withResolvers<void>();
    origin.script = async (exchange) => {
      await exchange.send(eventStream);
      listeners.push(exchange);
      if (listeners.length === 200) all.resolve();
      await exchange.wire.over;
    };
    const visitors = await Promise.all(Array.from({ length: 200 }, () => get("/events")));
    await all.promise;
    for (let i = 0; i < 10; i++) {
      const event = `id: ${i}\ndata: event\n\n`;
      await Promise.all(listeners.map((exchange) => exchange.send(chunk(event))));
      const heard = await within(
        Promise.all(visitors.map(({ answer }) => answer.body.atLeast(event.length))),
        waitLimitMs,
        () => `event ${i} at all visitors`,
      );
      expect(new Set(heard)).toEqual(new Set([event]));
    }
    for (const { visitor } of visitors) leave(visitor);
    await within(
      Promise.all(listeners.map((exchange) => exchange.wire.over)),
      waitLimitMs,
      () => "the origin to see them go",
    );
  },
  testLimitMs,
);

test("an exchange is echoed piece by piece, both ways at the same time", async () => {
  origin.script = async (exchange) => {
    await exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (let piece = await exchange.body.piece(); piece; piece = await exchange.body.piece()) {
      await exchange.send(chunk(Buffer.from(piece).toString("latin1")));
    }
    await exchange.send("0\r\n\r\n");
  };
  using visitor = await Visitor.connect(tunnel.target);
  await visitor.send("POST /echo HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n");
  const { body } = await visitor.answer();
  for (let i = 0; i < 20; i++) {
    await visitor.send(chunk(`piece ${i};`));
    const length = `piece ${i};`.length;
    expect(await within(body.atLeast(length), waitLimitMs, () => `piece ${i}`)).toBe(`piece ${i};`);
  }
  await visitor.send("0\r\n\r\n");
  expect(await body.text()).toBe("");
  expect(body.complete).toBe(true);
});

const bigAnswer: RawOrigin["script"] = async (exchange) => {
  await exchange.send(`HTTP/1.1 200 OK\r\nContent-Length: ${bigMebibytes * mebibyte}\r\n\r\n`);
  await sendBig(exchange.send);
};

test(
  "64 MiB down have the same hash",
  async () => {
    origin.script = bigAnswer;
    const { visitor, answer } = await get("/big");
    expect(await answer.body.sha256()).toEqual({ bytes: bigMebibytes * mebibyte, sha256: bigSha256 });
    visitor.close();
  },
  testLimitMs,
);

for (const framing of ["Content-Length", "chunked"] as const) {
  test(
    `64 MiB up have the same hash (${framing})`,
    async () => {
      const heard = Promise.withResolvers<{ bytes: number; sha256: string }>();
      origin.script = async (exchange) => {
        heard.resolve(await exchange.body.sha256());
        await answerOk(exchange);
      };
      using visitor = await Visitor.connect(tunnel.target);
      const announced =
        framing === "chunked" ? "Transfer-Encoding: chunked" : `Content-Length: ${bigMebibytes * mebibyte}`;
      await visitor.send(`POST /big HTTP/1.1\r\nHost: HOST\r\n${announced}\r\n\r\n`);
      await sendBig(async (bytes) => {
        if (framing === "chunked") await visitor.wire.send(`${bytes.length.toString(16)}\r\n`);
        await visitor.wire.send(bytes);
        if (framing === "chunked") await visitor.wire.send("\r\n");
      });
      if (framing === "chunked") await visitor.wire.send("0\r\n\r\n");
      expect((await visitor.answer()).status).toBe(200);
      expect(await heard.promise).toEqual({ bytes: bigMebibytes * mebibyte, sha256: bigSha256 });
    },
    testLimitMs,
  );
}

test(
  "a visitor that stops reading stalls itself alone, and goes on where it stopped",
  async () => {
    origin.script = async (exchange) => {
      if (exchange.head.target === "/big") return bigAnswer(exchange);
      await answerOk(exchange);
    };
    const slow = await get("/big");
    slow.visitor.wire.socket.pause();
    for (let i = 0; i < 50; i++) expect((await visit(tunnel.target, "/small")).text).toBe("ok");
    const other = await get("/big");
    expect((await other.answer.body.sha256()).sha256).toBe(bigSha256);
    slow.visitor.wire.socket.resume();
    expect((await slow.answer.body.sha256()).sha256).toBe(bigSha256);
    slow.visitor.close();
    other.visitor.close();
  },
  testLimitMs,
);

test(
  "an origin that stops reading an upload stalls that upload alone",
  async () => {
    const heard = Promise.withResolvers<string>();
    const readOn = Promise.withResolvers<void>();
    const stuck = Promise.withResolvers<void>();
    origin.script = async (exchange) => {
      if (exchange.head.target === "/stuck") {
        stuck.resolve();
        await readOn.promise;
        heard.resolve((await exchange.body.sha256()).sha256);
      }
      await answerOk(exchange);
    };
    using visitor = await Visitor.connect(tunnel.target);
    await visitor.send(
      `POST /stuck HTTP/1.1\r\nHost: HOST\r\nContent-Length: ${bigMebibytes * mebibyte}\r\n\r\n`,
    );
    const sent = sendBig((bytes) => visitor.wire.send(bytes));
    await stuck.promise;
    for (let i = 0; i < 50; i++) expect((await visit(tunnel.target, "/small")).text).toBe("ok");
    readOn.resolve();
    await sent;
    expect((await visitor.answer()).status).toBe(200);
    expect(await heard.promise).toBe(bigSha256);
  },
  testLimitMs,
);
