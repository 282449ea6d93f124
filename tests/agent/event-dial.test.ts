import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { RelayDialer, type RelayDialerOptions } from "../../shared/dial/dial.ts";
import { RelayRefusal } from "../../shared/dial/relay-refusal.ts";
import { UnderpassError } from "../../shared/errors.ts";
import type { Link } from "../../shared/link.ts";
import { dial } from "../../shared/runtimes/bun-sockets.ts";
import { systemClock } from "../../shared/runtimes/system-clock.ts";
import type { Dial, Socket, SocketHandler } from "../../shared/socket.ts";
import { LinkEar } from "../conformance/link-ear.ts";
import { withRelay, write } from "./raw-relay.ts";
import { VirtualClock } from "./virtual-clock.ts";

const id = "L".repeat(22);
const secret = "s".repeat(43);
const head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
const opening = `event: open\ndata: {"link":"${id}","secret":"${secret}"}\n\n`;

function openLink(relay: URL, options: Partial<RelayDialerOptions> = {}): Promise<Link | UnderpassError> {
  const dialer = new RelayDialer({ relay, dial, clock: systemClock, insecure: false, ...options });
  const place = { name: "blue", kind: "egress", session: "S1" } as const;
  return new Promise((resolve) => void dialer.openEventLink(place, "aaa.bbb", resolve));
}

/** A link to a relay that sends what it is told to, and what the requests to it were. */
async function withLink(
  run: (ear: LinkEar, down: Socket, requests: string[]) => Promise<void>,
  options: Partial<RelayDialerOptions> = {},
): Promise<void> {
  const requests: string[] = [];
  let down: Socket | undefined;
  await withRelay(
    (request, socket) => {
      requests.push(request);
      if (request.startsWith("POST")) {
        write(socket, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        return;
      }
      down = socket;
      write(socket, head + opening);
    },
    async (relay) => {
      const link = await openLink(relay, options);
      if (link instanceof UnderpassError) throw link;
      if (down === undefined) throw new Error("no socket");
      await run(new LinkEar(link), down, requests);
      link.destroy();
    },
  );
}

describe("opening a link of events and POSTs", () => {
  test("asks as PROTOCOL.md says, and sends POSTs with what it was told", async () => {
    await withLink(async (ear, down, requests) => {
      expect(requests[0]?.split("\r\n")).toEqual(
        expect.arrayContaining([
          "GET /_underpass/links/blue/S1?kind=egress HTTP/1.1",
          "Accept: text/event-stream",
          "Underpass-Protocol: underpass.1",
          "Authorization: Bearer aaa.bbb",
        ]),
      );
      expect(requests[0]).not.toMatch(/upgrade|sec-websocket/i);
      ear.call((link) => link.send(new Uint8Array([104, 105])));
      write(down, ":\n\ndata: aGk=\n\n");
      await ear.until(() => ear.messages.length === 1 && requests.length === 2);
      expect(ear.messages).toEqual([new Uint8Array([104, 105])]);
      const [lines = "", body] = requests[1]?.split("\r\n\r\n") ?? [];
      expect(lines.split("\r\n")).toEqual(
        expect.arrayContaining([
          `POST /_underpass/posts/blue/${id} HTTP/1.1`,
          `Underpass-Link-Secret: ${secret}`,
          "Underpass-Sequence: 1",
          "Content-Length: 6",
        ]),
      );
      // The token opened the link; the link's secret is for what comes after.
      expect(lines).not.toContain("Authorization");
      expect(body).toBe("\0\0\0\u0002hi");
    });
  });

  test("works over a chunked answer, after 1xx heads, with CRLF in the events", async () => {
    const chunks = (text: string) => [...text].map((char) => `1\r\n${char}\r\n`).join("");
    await withRelay(
      (_request, socket) => {
        write(socket, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n");
        write(socket, "Content-Type: text/event-stream;charset=utf-8\r\n\r\n");
        write(socket, chunks(opening.replaceAll("\n", "\r\n")));
      },
      async (relay) => {
        const link = await openLink(relay);
        expect(link).not.toBeInstanceOf(Error);
        if (!(link instanceof UnderpassError)) link.destroy();
      },
    );
  });

  test("a relay's refusal is what it says; another answer is of something between", async () => {
    const refusalOf = async (answer: string): Promise<unknown[]> => {
      const result = await withRelay(
        (_request, socket) => {
          write(socket, answer);
          socket.end();
        },
        (relay) => openLink(relay),
      );
      return result instanceof RelayRefusal ? [result.code, result.by, result.fatal] : [result];
    };
    const refuse = (status: number, code: string) =>
      `HTTP/1.1 ${status} No\r\nUnderpass-Error: ${code}\r\nContent-Length: 0\r\n\r\n`;
    expect(await refusalOf(refuse(401, "unauthorized"))).toEqual(["unauthorized", "relay", true]);
    expect(await refusalOf(refuse(426, "upgrade-required"))).toEqual(["upgrade-required", "between", false]);
    expect(await refusalOf("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")).toEqual([
      "not-a-relay",
      "between",
      true,
    ]);
    expect(await refusalOf("HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n")).toEqual([
      "relay-unreachable",
      "between",
      false,
    ]);
    expect(await refusalOf("")).toEqual(["relay-unreachable", "between", false]);
  });

  test("what does not begin with its opening is given up, and so is what keeps it back", async () => {
    const wrong = [
      "data: aGk=\n\n",
      "event: open\ndata: {}\n\n",
      "event: open\ndata: null\n\n",
      "event: open\ndata: {\n\n",
      `event: open\ndata: {"link":"${id}","secret":"short"}\n\n`,
      `event: open\ndata: {"link":"${id.slice(1)}\\n","secret":"${secret}"}\n\n`,
      `event: open\ndata: {"link":1,"secret":"${secret}"}\n\n`,
      `:${"x".repeat(100_000)}`,
    ];
    for (const text of wrong) {
      const result = await withRelay(
        (_request, socket) => write(socket, head + text),
        (relay) => openLink(relay),
      );
      expect(result instanceof RelayRefusal && [result.code, result.by]).toEqual([
        "relay-unreachable",
        "between",
      ]);
    }
    const kept = await withRelay(
      (_request, socket) => write(socket, head),
      (relay) => openLink(relay, { timeoutMs: 100 }),
    );
    expect(kept instanceof RelayRefusal && kept.code).toBe("relay-unreachable");
  });

  test("that is given up tells nothing and closes its socket, also while the opening is awaited", async () => {
    const { promise: gone, resolve } = Promise.withResolvers<void>();
    await withRelay(
      (_request, socket) => {
        write(socket, head);
        socket.handler = { data() {}, drained() {}, ended() {}, closed: () => resolve() };
        setTimeout(() => giveUp(), 20);
      },
      async (relay) => {
        const dialer = new RelayDialer({ relay, dial, clock: systemClock, insecure: false });
        giveUp = dialer.openEventLink({ name: "blue", kind: "http" }, undefined, () => expect.unreachable());
        await gone;
      },
    );
  });
  let giveUp = (): void => {};
});

describe("a link of events and POSTs", () => {
  test("ends with the code of its close event, or with 1006 when the way down ends without one", async () => {
    await withLink(async (ear, down) => {
      write(down, "event: close\ndata: 4001 had enough\n\ndata: aGk=\n\n");
      await ear.until(() => ear.closes.length === 1);
      expect([ear.closes, ear.messages]).toEqual([[[4_001, "had enough"]], []]);
    });
    await withLink(async (ear, down) => {
      down.end();
      await ear.until(() => ear.closes.length === 1);
      expect(ear.closes).toEqual([[1_006, ""]]);
    });
  });

  test("is dropped for what is no base64, and for a message or a line that is too large", async () => {
    const large = new Uint8Array(65_537).toBase64();
    for (const text of [
      "data: a\n\n",
      "data: a*b=\n\n",
      `data: ${large}\n\n`,
      `data: ${"A".repeat(100_000)}`,
    ]) {
      await withLink(async (ear, down) => {
        write(down, text);
        await ear.until(() => ear.closes.length === 1);
        expect([ear.closes, ear.messages]).toEqual([[[1_006, ""]], []]);
      });
    }
  });

  test("ignores events of other names, and takes texts", async () => {
    await withLink(async (ear, down) => {
      write(down, "event: moon\ndata: aGk=\n\nevent: text\ndata: hello\n\n");
      await ear.until(() => ear.texts.length === 1);
      expect([ear.texts, ear.messages]).toEqual([["hello"], []]);
    });
  });

  test("is dropped after 30 s without a byte; a comment is enough to keep it, and no sign of life", async () => {
    const clock = new VirtualClock();
    const handlers: SocketHandler[] = [];
    const standing: Dial = (_target, _timeoutMs, { opened }) => {
      const ignore = (): void => {};
      const socket: Socket = {
        ...{ handler: { data() {}, drained() {}, ended() {}, closed() {} }, queued: 0 },
        ...{ write: () => 0, end: ignore, destroy: ignore, pause: ignore, resume: ignore },
        ...{ remote: "", local: "" },
      };
      queueMicrotask(() => {
        opened(socket);
        handlers.push(socket.handler);
        socket.handler.data(bytes(head + opening));
      });
      return ignore;
    };
    const bytes = (text: string) => new TextEncoder().encode(text);
    const link = await openLink(new URL("http://127.0.0.1"), { clock, dial: standing });
    if (link instanceof UnderpassError) throw link;
    const ear = new LinkEar(link);
    for (let i = 0; i < 10; i++) {
      clock.advance(15_000);
      handlers[0]?.data(bytes(":\n\n"));
    }
    expect([ear.lives, ear.closes]).toEqual([0, []]);
    clock.advance(29_999);
    await Promise.resolve();
    expect(ear.closes).toEqual([]);
    clock.advance(1);
    await ear.until(() => ear.closes.length === 1);
    expect(ear.closes).toEqual([[1_006, ""]]);
  });

  test("goes where POSTs are refused, and stays where a proxy is in trouble for a moment", async () => {
    for (const [status, lives] of [
      [404, false],
      [400, false],
      [403, false],
      [413, false],
      [200, false],
      [302, false],
      [502, true],
      [503, true],
      [429, true],
    ] as const) {
      let posts = 0;
      let again = (): void => {};
      const answered = new Promise<void>((resolve) => {
        again = resolve;
      });
      await withRelay(
        (request, socket) => {
          if (request.startsWith("GET")) write(socket, head + opening);
          else if (++posts === 1) write(socket, `HTTP/1.1 ${status} X\r\nContent-Length: 0\r\n\r\n`);
          else {
            write(socket, "HTTP/1.1 204 No Content\r\n\r\n");
            again();
          }
        },
        async (relay) => {
          const link = await openLink(relay);
          if (link instanceof UnderpassError) throw link;
          const ear = new LinkEar(link);
          ear.call(() => link.send(new Uint8Array(1)));
          if (lives) await answered;
          else await ear.until(() => ear.closes.length === 1);
          expect([status, posts, ear.closes.length]).toEqual([status, lives ? 2 : 1, lives ? 0 : 1]);
          link.destroy();
        },
      );
    }
  });

  test("outlives a relay that takes no new sockets, be another in its place, by those that it has", async () => {
    let first: Socket | undefined;
    let answerSecond = (): void => {};
    const tries: string[] = [];
    const over = Promise.withResolvers<void>();
    await withRelay(
      (text, socket) => {
        if (text.startsWith("GET")) return write(socket, head + opening);
        const requests = text.split("POST ").slice(1);
        const number = /Underpass-Sequence: (\d+)/.exec(requests.at(-1) ?? "")?.[1];
        first ??= socket;
        tries.push(`${number} ${socket === first ? "first" : "other"}`);
        const taken = "HTTP/1.1 204 No Content\r\n\r\n";
        if (socket !== first) write(socket, "HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n");
        else if (number === "2") answerSecond = () => write(socket, taken);
        else write(socket, taken);
        if (socket !== first) answerSecond();
        if (tries.length === 4) over.resolve();
      },
      async (relay) => {
        const link = await openLink(relay);
        if (link instanceof UnderpassError) throw link;
        const ear = new LinkEar(link);
        ear.call(() => link.send(new Uint8Array(1)));
        await ear.until(() => ear.drains > 0 && tries.length === 1 && link.queued === 0);
        ear.call(() => link.send(new Uint8Array(2)));
        await Promise.resolve();
        await Promise.resolve();
        ear.call(() => link.send(new Uint8Array(3)));
        await over.promise;
        expect(tries).toEqual(["1 first", "2 first", "3 other", "3 first"]);
        expect(ear.closes).toEqual([]);
        link.destroy();
      },
    );
  });

  test("survives or ends, and never throws, whatever bytes a relay sends", async () => {
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes).toString("latin1")),
      fc.constantFrom("data: ", "event: text\n", "event: close\n", "\n\n", "aGk=", "data: 1000 x", ":", "\r"),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 30 }), async (pieces) => {
        await withLink(async (ear, down) => {
          for (const text of pieces) write(down, text);
          down.end();
          await ear.until(() => ear.closes.length === 1);
        });
      }),
      { numRuns: 60 },
    );
  });
});
