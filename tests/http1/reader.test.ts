import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { chunkEnd, chunkStart, lastChunk } from "../../shared/http1/chunked.ts";
import { HttpFault } from "../../shared/http1/fault.ts";
import type { Framing } from "../../shared/http1/framing.ts";
import {
  fieldValue,
  type RequestHead,
  type ResponseHead,
  writeRequestHead,
  writeResponseHead,
} from "../../shared/http1/head.ts";
import { decodeLatin1, encodeLatin1 } from "../../shared/http1/latin1.ts";
import { parseRequestHead, parseResponseHead } from "../../shared/http1/read-head.ts";
import { HttpReader } from "../../shared/http1/reader.ts";
import { plain, Recorder, readRequests, readResponse, split } from "./recorder.ts";

const requestOf = (text: string): RequestHead => plain(whole(parseRequestHead(encodeLatin1(text))));
const responseOf = (text: string): ResponseHead => plain(whole(parseResponseHead(encodeLatin1(text))));

function whole<Head>(head: Head | HttpFault): Head {
  if (head instanceof HttpFault) throw head;
  return head;
}

const tokenText = fc.stringMatching(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}$/);
const latin1 = (allowed: (code: number) => boolean, maxLength: number) =>
  fc
    .array(fc.integer({ min: 0, max: 255 }).filter(allowed), { maxLength })
    .map((codes) => String.fromCharCode(...codes));
const valueText = latin1((code) => code === 9 || (code >= 32 && code !== 127), 40).map((text) =>
  text.replace(/^[ \t]+|[ \t]+$/g, ""),
);
const reserved = ["host", "content-length", "transfer-encoding"];
const fieldPair = fc.tuple(
  tokenText.filter((name) => !reserved.includes(name.toLowerCase())),
  valueText,
);
const targetText = latin1((code) => code > 32 && code !== 127, 40).map((text) => `/${text}`);

const requestHead: fc.Arbitrary<RequestHead> = fc.record({
  method: tokenText,
  target: targetText,
  minor: fc.constantFrom(0 as const, 1 as const),
  fields: fc.array(fieldPair, { maxLength: 8 }).map((pairs) => ["Host", "a", ...pairs.flat()]),
});

/** A head's text with a body in one of the three framings. */
const request = fc
  .tuple(
    requestHead,
    fc.constantFrom("none", "length", "chunked"),
    fc.array(fc.string({ minLength: 1, maxLength: 50 }), { maxLength: 4 }),
    fc.array(fieldPair, { maxLength: 2 }),
  )
  .map(([head, kind, parts, trailers]) => {
    const pieces = parts.map((part) => decodeLatin1(new TextEncoder().encode(part)));
    const framed = { ...head, minor: kind === "chunked" ? (1 as const) : head.minor };
    const body = pieces.join("");
    if (kind === "none")
      return { head: framed, text: `${writeRequestHead(framed)}\r\n`, body: "", trailers: [] };
    if (kind === "length") {
      const fields = [...framed.fields, "content-Length", String(body.length)];
      const whole = { ...framed, fields };
      return { head: whole, text: `${writeRequestHead(whole)}\r\n${body}`, body, trailers: [] };
    }
    const whole = { ...framed, fields: [...framed.fields, "Transfer-encoding", "Chunked"] };
    const chunks = pieces.map((piece) => chunkStart(piece.length) + piece + chunkEnd).join("");
    return {
      head: whole,
      text: `${writeRequestHead(whole)}\r\n${chunks}${lastChunk(trailers.flat())}`,
      body,
      trailers: trailers.flat(),
    };
  });

const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), { maxLength: 20 });

describe("heads", () => {
  test("what is written is read back the same, byte for byte", () => {
    fc.assert(
      fc.property(requestHead, (head) => {
        const text = writeRequestHead(head);
        expect(requestOf(text)).toEqual(head);
        expect(requestOf(`${text}\r\n`)).toEqual(head);
      }),
    );
    fc.assert(
      fc.property(
        fc.integer({ min: 100, max: 999 }),
        valueText,
        requestHead,
        (status, reason, { fields, minor }) => {
          const head = { status, reason, minor, fields };
          expect(responseOf(writeResponseHead(head))).toEqual(head);
        },
      ),
    );
  });

  test("bytes 0x80 to 0x9f are not taken for windows-1252", () => {
    const every = String.fromCharCode(...Array.from({ length: 128 }, (_, i) => i + 128));
    const head = requestOf(`GET /${every} HTTP/1.1\r\nX: ${every}\r\nY: plain\r\n`);
    expect(head).toEqual({
      method: "GET",
      target: `/${every}`,
      minor: 1,
      fields: ["X", every, "Y", "plain"],
    });
  });

  test("case, order, duplicates and raw targets stay; surrounding whitespace goes", () => {
    const head = requestOf(
      "pUrGe /a%2Fb//../c;d?%zz#f HTTP/1.1\r\nhOST:a\r\nX-A: \t 1  2 \t\r\nx-a:\r\nX-A:3\r\n\r\n",
    );
    expect(head).toEqual({
      method: "pUrGe",
      target: "/a%2Fb//../c;d?%zz#f",
      minor: 1,
      fields: ["hOST", "a", "X-A", "1  2", "x-a", "", "X-A", "3"],
    });
    expect(fieldValue(head.fields, "host")).toBe("a");
    expect(fieldValue(head.fields, "none")).toBeUndefined();
    expect(head.fields.filter((_, i, all) => i % 2 === 1 && all[i - 1]?.toLowerCase() === "x-a")).toEqual([
      "1  2",
      "",
      "3",
    ]);
  });

  test("a reason may be empty, and its space missing", () => {
    for (const line of ["HTTP/1.0 200 ", "HTTP/1.0 200"]) {
      expect(responseOf(`${line}\r\n`)).toEqual({
        status: 200,
        reason: "",
        minor: 0,
        fields: [],
      });
    }
  });

  test("garbage is a fault or a head, never an exception", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        parseRequestHead(bytes);
        parseResponseHead(bytes);
      }),
    );
  });
});

describe("reader of requests", () => {
  test("any split of a series of requests gives the same events", () => {
    fc.assert(
      fc.property(fc.array(request, { minLength: 1, maxLength: 3 }), cuts, (requests, places) => {
        const bytes = encodeLatin1(requests.map(({ text }) => text).join(""));
        const whole = readRequests([bytes]);
        expect(whole.faultCode).toBeUndefined();
        expect(whole.heads).toEqual(requests.map(({ head }) => head));
        expect(whole.bodyText).toBe(requests.map(({ body }) => body).join(""));
        const trailers = requests.flatMap((one) =>
          one.trailers.length > 0 ? [`trailers ${JSON.stringify(one.trailers)}`] : [],
        );
        expect(whole.events.filter((event) => event.startsWith("trailers"))).toEqual(trailers);
        expect(readRequests(split(bytes, places)).events).toEqual(whole.events);
      }),
      { numRuns: 200 },
    );
  });

  test("damaged requests give the same events in any split, and no exception", () => {
    const damage = fc.array(
      fc.tuple(
        fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
        fc.constantFrom(0, 9, 10, 13, 32, 48, 58, 255),
      ),
      { maxLength: 4 },
    );
    fc.assert(
      fc.property(request, damage, cuts, (one, changes, places) => {
        const bytes = encodeLatin1(one.text);
        for (const [place, byte] of changes) bytes[Math.floor(place * bytes.length)] = byte;
        expect(readRequests(split(bytes, places)).events).toEqual(readRequests([bytes]).events);
      }),
      { numRuns: 300 },
    );
  });

  test("a pipelined request is held until `next`", () => {
    const recorder = new Recorder<"request">();
    const reader = new HttpReader("request", recorder);
    const one = "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    const two = "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n";
    reader.push(encodeLatin1(one + two));
    expect(recorder.events.slice(1)).toEqual(["body hi", "end"]);
    expect(reader.heldBytes).toBe(two.length);
    reader.push(encodeLatin1(two));
    expect(reader.heldBytes).toBe(two.length * 2);
    reader.next();
    expect(recorder.heads.map((head) => head.target)).toEqual(["/1", "/2"]);
    reader.next();
    expect(recorder.heads.map((head) => head.target)).toEqual(["/1", "/2", "/2"]);
    expect(reader.heldBytes).toBe(0);
    reader.next();
    expect(reader.between).toBe(true);
    reader.push(encodeLatin1("G"));
    expect(reader.between).toBe(false);
  });

  test("a visitor who half-closes after a request, or between two, is not at fault", () => {
    const events = readRequests(["GET / HTTP/1.1\r\nHost: a\r\n\r\n"]).events;
    expect(events.at(-1)).toBe("end");
    expect(readRequests([]).events).toEqual([]);
    expect(readRequests(["\r\n"]).events).toEqual([]);
  });

  test("`detach` in the head's call gives what follows it", () => {
    const recorder = new Recorder<"request">();
    let rest = new Uint8Array(0);
    const reader: HttpReader<"request"> = new HttpReader("request", {
      head: (_head: RequestHead, _framing: Framing) => {
        rest = new Uint8Array(reader.detach());
      },
      body: (bytes) => recorder.body(bytes),
      trailers: (fields) => recorder.trailers(fields),
      end: () => recorder.end(),
      fault: (fault) => recorder.fault(fault),
    });
    reader.push(encodeLatin1("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\n\r\nnew protocol"));
    reader.push(encodeLatin1("more"));
    reader.finish();
    expect(decodeLatin1(rest)).toBe("new protocol");
    expect(recorder.events).toEqual([]);
  });

  test("a head that comes byte by byte costs no more than its length", () => {
    const text = `GET / HTTP/1.1\r\nHost: a\r\n${"X: y\r\n".repeat(5_000)}\r\n`;
    expect(text.length).toBeLessThan(32_768);
    expect(readRequests([...text]).heads[0]?.fields).toHaveLength(10_002);
  });
});

describe("reader of responses", () => {
  const length = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";

  test("1xx heads come before the final one", () => {
    const recorder = readResponse(
      ["HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", `${length}hello`],
      "POST",
    );
    expect(recorder.heads.map((head) => head.status)).toEqual([100, 103, 200]);
    expect(recorder.events.slice(-2)).toEqual(["body hello", "end"]);
  });

  test("HEAD, 204 and 304 have no body, whatever their head announces", () => {
    expect(readResponse([length], "HEAD", false).events.at(-1)).toBe("end");
    expect(
      readResponse(["HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"], "GET", false).events.at(-1),
    ).toBe("end");
    expect(readResponse(["HTTP/1.1 204 No Content\r\n\r\n"], "GET", false).events.at(-1)).toBe("end");
    expect(
      readResponse(["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"], "HEAD", false).events.at(-1),
    ).toBe("end");
  });

  test("without a length the body goes on until the close", () => {
    const recorder = readResponse(["HTTP/1.0 200 OK\r\n\r\nab", "cd"]);
    expect(recorder.events.slice(1)).toEqual(["body abcd", "end"]);
  });

  test("trailers come after the body", () => {
    const recorder = readResponse([
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA;x="y"\r\n0123456789\r\n',
      "000\r\nDigest: z\r\n\r\n",
    ]);
    expect(recorder.events.slice(1)).toEqual(["body 0123456789", 'trailers ["Digest","z"]', "end"]);
  });

  test("after 101 the rest is another protocol's", () => {
    const recorder = new Recorder<"response">();
    const reader = new HttpReader("response", recorder);
    reader.expect("GET");
    reader.push(encodeLatin1("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nraw"));
    reader.push(encodeLatin1(" bytes"));
    reader.finish();
    expect(recorder.events).toHaveLength(1);
    expect(decodeLatin1(reader.detach())).toBe("raw bytes");
    expect(reader.detach()).toHaveLength(0);
  });

  test("a socket is used again for the next response, and what nobody asked for is a fault", () => {
    const recorder = new Recorder<"response">();
    const reader = new HttpReader("response", recorder);
    for (let i = 0; i < 3; i++) {
      expect(reader.between).toBe(true);
      reader.expect("GET");
      expect(reader.between).toBe(false);
      reader.push(encodeLatin1(`${length}hello`));
    }
    expect(recorder.events.filter((event) => event === "end")).toHaveLength(3);
    reader.push(encodeLatin1("H"));
    expect(recorder.faultCode).toBe("origin-invalid");
  });

  test("a surplus is known inside `end`, and spoils what is expected there", () => {
    const recorder = new Recorder<"response">();
    const reader = new HttpReader("response", recorder);
    let surplus = false;
    recorder.atEnd = () => {
      surplus = reader.surplus;
      reader.expect("GET");
    };
    reader.expect("GET");
    reader.push(encodeLatin1(`${length}hello${length}evil!`));
    expect(surplus).toBe(true);
    expect(recorder.heads).toHaveLength(1);
    expect(recorder.events.at(-1)).toBe("fault origin-invalid");
  });

  test("garbage never throws", () => {
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 60 }),
      fc
        .constantFrom(
          length,
          "HTTP/1.1 200 OK\r\n",
          "Transfer-Encoding: chunked\r\n",
          "\r\n",
          "5\r\nhello\r\n",
          "0\r\n",
        )
        .map(encodeLatin1),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 10 }), (pieces) => {
        const faults = readResponse(pieces).events.filter((event) => event.startsWith("fault"));
        expect(faults.length).toBeLessThanOrEqual(1);
      }),
      { numRuns: 300 },
    );
  });
});
