import { Visitor } from "../raw/visitor.ts";
import { exchange, type FidelityCase, originSaw, visitorSaw } from "./case.ts";

const bytes = Array.from({ length: 256 }, (_, i) => String.fromCharCode(i)).join("");
const post = (fields: string, body: string) => `POST /body HTTP/1.1\r\nHost: HOST\r\n${fields}\r\n${body}`;
const get = "GET /body HTTP/1.1\r\nHost: HOST\r\n\r\n";
const interim = "the platform answers 1xx itself or drops it";
const noTrailers = "the platform has no trailers";
const framing = "the platform frames bodies itself";

const requests: readonly [string, string][] = [
  ["all byte values", post("Content-Length: 256\r\n", bytes)],
  ["POST with a length of 0", post("Content-Length: 0\r\n", "")],
  ["POST with no body and no length", post("", "")],
  ["GET with a body", "GET /body HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\r\n\r\nhello"],
  [
    "GET with a chunked body",
    "GET /body HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
  ],
  ["DELETE with a body", "DELETE /body HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\r\n\r\nhello"],
  ["HEAD with a body", "HEAD /body HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\r\n\r\nhello"],
  ["OPTIONS with a body", "OPTIONS /body HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\r\n\r\nhello"],
  ["QUERY with a body", "QUERY /body HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\r\n\r\nhello"],
  ["chunked, of unknown length", post("Transfer-Encoding: chunked\r\n", "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n")],
  [
    "chunked, in odd but legal form",
    post("transfer-encoding: Chunked\r\n", '00A;ext="q\\"";n\r\n0123456789\r\n000\r\n\r\n'),
  ],
  ["chunked and empty", post("Transfer-Encoding: chunked\r\n", "0\r\n\r\n")],
  ["a coded body untouched", post("Content-Encoding: gzip\r\nContent-Length: 4\r\n", "\x1f\x8b\x00\x01")],
];

const answers: readonly [string, string, { method?: string; closes?: "end" }?][] = [
  ["all byte values", `HTTP/1.1 200 OK\r\nContent-Length: 256\r\n\r\n${bytes}`],
  ["a length of 0", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"],
  [
    "chunked",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0a\r\n0123456789\r\n0\r\n\r\n",
  ],
  ["chunked and empty", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
  ["until the origin closes", "HTTP/1.1 200 OK\r\n\r\nuntil the end", { closes: "end" }],
  ["until the origin closes, and empty", "HTTP/1.1 200 OK\r\n\r\n", { closes: "end" }],
  ["an HTTP/1.0 origin", "HTTP/1.0 200 OK\r\n\r\nold", { closes: "end" }],
  [
    "Connection: close with a length",
    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    { closes: "end" },
  ],
  ["204", "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n"],
  ["205 with a length of 0", "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n"],
  ["304 without a length", 'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n'],
  ["304 that tells a length", 'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nContent-Length: 500\r\n\r\n'],
  ["HEAD that tells a length", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", { method: "HEAD" }],
  ["HEAD that tells no length", "HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\n", { method: "HEAD" }],
  ["HEAD of a chunked answer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", { method: "HEAD" }],
];

const interims: readonly [string, string][] = [
  ["103 with links", "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nlink: </b.js>\r\n\r\n"],
  ["102 twice", "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"],
  ["an unknown 1xx", "HTTP/1.1 199 Odd\r\nX-A: 1\r\n\r\n"],
];

/** Bodies, trailers, interim answers, and the forms in which they may come. */
export const bodyCases: readonly FidelityCase[] = [
  ...requests.map(([name, request]) => ({
    group: "Request body",
    name,
    limits: { workerd: framing },
    run: exchange({
      request,
      method: request.split(" ")[0] ?? "GET",
      ...(request.startsWith("HEAD") ? { answer: "HTTP/1.1 200 OK\r\n\r\n" } : {}),
    }),
  })),
  ...answers.map(([name, answer, more]) => ({
    group: "Response body",
    name,
    limits: { workerd: framing },
    run: exchange({
      request: get.replace("GET", more?.method ?? "GET"),
      answer,
      method: more?.method ?? "GET",
      ...(more?.closes ? { closes: more.closes } : {}),
    }),
  })),
  ...interims.map(([name, heads]) => ({
    group: "Interim answers",
    name,
    limits: { workerd: interim },
    run: exchange({ request: get, answer: `${heads}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok` }),
  })),
  {
    group: "Trailers",
    name: "of a request",
    limits: { workerd: noTrailers },
    run: exchange({
      request: post(
        "Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n",
        "2\r\nok\r\n0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n",
      ),
    }),
  },
  {
    group: "Trailers",
    name: "of an answer",
    limits: { workerd: noTrailers },
    run: exchange({
      request: "GET /body HTTP/1.1\r\nHost: HOST\r\nTE: trailers\r\nConnection: TE\r\n\r\n",
      answer:
        "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nServer-Timing: a\r\n\r\n",
    }),
  },
  {
    group: "Interim answers",
    name: "100 Continue: the body waits for it",
    limits: { workerd: interim },
    run: async (target, origin) => {
      const requests: unknown[] = [];
      origin.script = async (exchange) => {
        await exchange.send("HTTP/1.1 100 Continue\r\n\r\n");
        requests.push(originSaw(exchange, await exchange.body.text()));
        await exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      };
      using visitor = await Visitor.connect(target);
      await visitor.send(post("Content-Length: 5\r\nExpect: 100-continue\r\n", ""));
      const start = await visitor.wire.until("\r\n\r\n");
      await visitor.send("hello");
      const answer = await visitor.answer();
      return { start, requests, answer: visitorSaw(answer, await answer.body.text()) };
    },
  },
  {
    group: "Interim answers",
    name: "417 in place of 100: the body is never sent",
    limits: { workerd: interim },
    run: async (target, origin) => {
      origin.script = async (exchange) => {
        await exchange.send(
          "HTTP/1.1 417 Expectation Failed\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno",
        );
        exchange.wire.end();
      };
      using visitor = await Visitor.connect(target);
      await visitor.send(post("Content-Length: 5\r\nExpect: 100-continue\r\n", ""));
      const answer = await visitor.answer();
      return visitorSaw(answer, await answer.body.text());
    },
  },
];
