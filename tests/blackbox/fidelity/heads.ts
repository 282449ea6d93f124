import { gzipSync } from "node:zlib";
import { exchange, type FidelityCase, plainAnswer } from "./case.ts";

const fetchHeaders = "the platform's Headers are lower case, sorted and joined";
const gzipped = gzipSync("the same words, squeezed; the same words, squeezed").toString("latin1");
/** 15 KiB with the start line and Host: what must pass everywhere. */
const bigField = `X-Big: ${"b".repeat(15 * 1024 - 200)}\r\n`;
const manyFields = Array.from({ length: 80 }, (_, i) => `X-Many-${i}: ${"v".repeat(60)}\r\n`).join("");

const request = (fields: string) => `GET /head HTTP/1.1\r\nHost: HOST\r\n${fields}\r\n`;
const answer = (fields: string) => `HTTP/1.1 200 OK\r\n${fields}Content-Length: 2\r\n\r\nok`;

const requests: readonly [string, string][] = [
  [
    "case, order and duplicates",
    "x-b: 1\r\nX-B: 2\r\nACCEPT: */*\r\nx-A: 3\r\nX-b: 4\r\ncookie: a=1\r\nCookie: b=2\r\n",
  ],
  ["empty values", "X-Empty:\r\nX-Blank:   \r\nX-Last: 1\r\n"],
  ["blanks around and tabs within a value", "X-Blanks: \t a \t b \t \r\n"],
  ["bytes above 127", "X-Latin: caf\xe9 \xff\r\n"],
  ["odd but legal names", "X_under.score!#$%&'*+^`|~: 1\r\n1: 2\r\n"],
  ["Accept-Encoding as sent", "Accept-Encoding: br;q=1, gzip;q=0.1, zstd\r\n"],
  ["conditional and range fields", 'If-None-Match: "a", W/"b"\r\nRange: bytes=0-1, -5\r\nIf-Range: "a"\r\n'],
  ["Authorization", "Authorization: Basic dTpw\r\n"],
  ["User-Agent and Referer as sent", "user-agent: Odd/1.0 (x; y)\r\nReferer: http://else.where/%2f\r\n"],
  ["one field of 15 KiB", bigField],
  ["80 fields", manyFields],
];

const answers: readonly [string, string][] = [
  [
    "case, order and duplicates",
    "x-b: 1\r\nX-B: 2\r\nVARY: a\r\nx-A: 3\r\nvary: b\r\nLink: </a>\r\nLink: </b>, </c>\r\n",
  ],
  [
    "several Set-Cookie",
    "Set-Cookie: a=1; Path=/\r\nset-cookie: b=2; Expires=Wed, 21 Oct 2026 07:28:00 GMT\r\nSet-Cookie: a=3\r\n",
  ],
  ["empty values", "X-Empty:\r\nX-Last: 1\r\n"],
  ["bytes above 127", "X-Latin: caf\xe9 \xff\r\n"],
  ["Server and Date as sent", "Server: Odd/0.1\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"],
  ["no Server, Date or Content-Type added", ""],
  [
    "Cache-Control, ETag, Location as sent",
    'Cache-Control: no-store\r\nETag: W/"x"\r\nLocation: /a%2Fb/../c\r\n',
  ],
  [
    "Alt-Svc and Strict-Transport-Security as sent",
    'Alt-Svc: h3=":443"\r\nStrict-Transport-Security: max-age=1\r\n',
  ],
  ["one field of 15 KiB", bigField],
];

const starts = [
  "200 OK",
  "200 All is well, 'so far'",
  "200 ",
  "201 Created",
  "202 Accepted",
  "203 Other",
  "206 Partial Content",
  "299 Odd",
  "300 Choices",
  "301 Moved",
  "307 Temporary Redirect",
  "308 Permanent Redirect",
  "400 Bad Request",
  "401 Unauthorized",
  "404 Not Found",
  "418 I'm a teapot",
  "451 Gone by Law",
  "499 Odd",
  "500 Broken",
  "503 Later",
  "599 Odd",
];

const encodings: readonly [string, string, string][] = [
  ["gzip that was asked for", "Accept-Encoding: gzip\r\n", "gzip"],
  ["gzip that was not asked for", "", "gzip"],
  ["a coding nobody knows", "Accept-Encoding: identity\r\n", "squeeze"],
];

/** Header fields and status lines arrive as they were sent, both ways. */
export const headCases: readonly FidelityCase[] = [
  ...requests.map(([name, fields]) => ({
    group: "Request fields",
    name,
    limits: { workerd: fetchHeaders },
    run: exchange({ request: request(fields) }),
  })),
  ...answers.map(([name, fields]) => ({
    group: "Response fields",
    name,
    limits: { workerd: fetchHeaders },
    run: exchange({ request: request(""), answer: answer(fields) }),
  })),
  ...starts.map((start) => ({
    group: "Status",
    name: start.trim(),
    limits: { workerd: "the platform writes its own reason phrase" },
    run: exchange({ request: request(""), answer: `HTTP/1.1 ${start}\r\nContent-Length: 2\r\n\r\nok` }),
  })),
  ...encodings.map(([name, fields, coding]) => ({
    group: "Content-Encoding untouched",
    name,
    limits: { workerd: fetchHeaders },
    run: exchange({
      request: request(fields),
      answer: `HTTP/1.1 200 OK\r\nContent-Encoding: ${coding}\r\nContent-Length: ${gzipped.length}\r\n\r\n${gzipped}`,
    }),
  })),
  {
    group: "Request fields",
    name: "Host in another case and with its port",
    limits: { workerd: fetchHeaders },
    run: (target, origin) =>
      exchange({ request: request("") })({ ...target, host: target.host.replace("blue", "BLue") }, origin),
  },
  {
    group: "Request fields",
    name: "Host not first",
    limits: { workerd: fetchHeaders },
    run: exchange({
      request: "GET /head HTTP/1.1\r\nX-First: 1\r\nhost: HOST\r\nX-Last: 1\r\n\r\n",
      answer: plainAnswer,
    }),
  },
];
