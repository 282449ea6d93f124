import { describe, expect, test } from "bun:test";
import { readRequests, readResponse } from "./recorder.ts";

const host = "Host: a\r\n";
const chunkedHead = `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n`;

/** Requests in which two readers could see two different things, and what they are refused with. */
const requests: readonly [string, string, string][] = [
  [
    "Content-Length with Transfer-Encoding",
    `POST / HTTP/1.1\r\n${host}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    "request-invalid",
  ],
  [
    "Transfer-Encoding with Content-Length",
    `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n`,
    "request-invalid",
  ],
  [
    "two Transfer-Encodings",
    `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n`,
    "request-invalid",
  ],
  [
    "chunked twice",
    `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n`,
    "request-invalid",
  ],
  [
    "chunked, chunked",
    `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked, chunked\r\n\r\n`,
    "coding-refused",
  ],
  ["gzip, chunked", `POST / HTTP/1.1\r\n${host}Transfer-Encoding: gzip, chunked\r\n\r\n`, "coding-refused"],
  [
    "chunked, identity",
    `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked, identity\r\n\r\n`,
    "coding-refused",
  ],
  ["xchunked", `POST / HTTP/1.1\r\n${host}Transfer-Encoding: xchunked\r\n\r\n`, "coding-refused"],
  ["an empty Transfer-Encoding", `POST / HTTP/1.1\r\n${host}Transfer-Encoding:\r\n\r\n`, "coding-refused"],
  [
    "a vertical tab before chunked",
    `POST / HTTP/1.1\r\n${host}Transfer-Encoding: \x0bchunked\r\n\r\n`,
    "request-invalid",
  ],
  [
    "Transfer-Encoding in HTTP/1.0",
    `POST / HTTP/1.0\r\n${host}Transfer-Encoding: chunked\r\n\r\n`,
    "request-invalid",
  ],
  [
    "two Content-Lengths that differ",
    `POST / HTTP/1.1\r\n${host}Content-Length: 4\r\nContent-Length: 5\r\n\r\n`,
    "request-invalid",
  ],
  [
    "two Content-Lengths that agree",
    `POST / HTTP/1.1\r\n${host}Content-Length: 4\r\ncontent-length: 4\r\n\r\n`,
    "request-invalid",
  ],
  ["a list as Content-Length", `POST / HTTP/1.1\r\n${host}Content-Length: 4, 4\r\n\r\n`, "request-invalid"],
  ["Content-Length with a plus", `POST / HTTP/1.1\r\n${host}Content-Length: +4\r\n\r\n`, "request-invalid"],
  ["a negative Content-Length", `POST / HTTP/1.1\r\n${host}Content-Length: -4\r\n\r\n`, "request-invalid"],
  [
    "a hexadecimal Content-Length",
    `POST / HTTP/1.1\r\n${host}Content-Length: 0x4\r\n\r\n`,
    "request-invalid",
  ],
  ["an empty Content-Length", `POST / HTTP/1.1\r\n${host}Content-Length:\r\n\r\n`, "request-invalid"],
  [
    "Content-Length with a space inside",
    `POST / HTTP/1.1\r\n${host}Content-Length: 4 4\r\n\r\n`,
    "request-invalid",
  ],
  [
    "Content-Length above 2^53",
    `POST / HTTP/1.1\r\n${host}Content-Length: 9007199254740993\r\n\r\n`,
    "request-invalid",
  ],
  [
    "a Content-Length of 30 digits",
    `POST / HTTP/1.1\r\n${host}Content-Length: ${"9".repeat(30)}\r\n\r\n`,
    "request-invalid",
  ],
  ["two Hosts", `GET / HTTP/1.1\r\n${host}Host: b\r\n\r\n`, "request-invalid"],
  ["two Hosts that agree", `GET / HTTP/1.1\r\n${host}hOST: a\r\n\r\n`, "request-invalid"],
  ["two Hosts in HTTP/1.0", `GET / HTTP/1.0\r\n${host}Host: b\r\n\r\n`, "request-invalid"],
  ["no Host", "GET / HTTP/1.1\r\nAccept: */*\r\n\r\n", "request-invalid"],
  ["a space before the colon", `GET / HTTP/1.1\r\n${host}X : y\r\n\r\n`, "request-invalid"],
  ["a tab before the colon", `GET / HTTP/1.1\r\n${host}Content-Length\t: 4\r\n\r\n`, "request-invalid"],
  ["a folded line", `GET / HTTP/1.1\r\n${host}X: y\r\n z\r\n\r\n`, "request-invalid"],
  ["a line folded by a tab", `GET / HTTP/1.1\r\n${host}X: y\r\n\tz\r\n\r\n`, "request-invalid"],
  ["a space before the first field", `GET / HTTP/1.1\r\n Host: a\r\n\r\n`, "request-invalid"],
  ["a bare LF after the request line", `GET / HTTP/1.1\n${host}\r\n`, "request-invalid"],
  ["a bare LF after a field", `GET / HTTP/1.1\r\nHost: a\n\r\n`, "request-invalid"],
  ["bare LFs at the end", `GET / HTTP/1.1\r\nHost: a\n\n`, "request-invalid"],
  ["a bare LF as empty line", `GET / HTTP/1.1\r\n${host}\n`, "request-invalid"],
  ["a bare CR in a value", `GET / HTTP/1.1\r\n${host}X: a\rY: b\r\n\r\n`, "request-invalid"],
  ["a CR before CRLF", `GET / HTTP/1.1\r\n${host}X: a\r\r\n\r\n`, "request-invalid"],
  ["a bare CR in the target", `GET /\r HTTP/1.1\r\n${host}\r\n`, "request-invalid"],
  ["NUL in a value", `GET / HTTP/1.1\r\n${host}X: a\0b\r\n\r\n`, "request-invalid"],
  ["NUL in a name", `GET / HTTP/1.1\r\n${host}X\0: a\r\n\r\n`, "request-invalid"],
  ["NUL in the target", `GET /\0 HTTP/1.1\r\n${host}\r\n`, "request-invalid"],
  ["DEL in the target", `GET /\x7f HTTP/1.1\r\n${host}\r\n`, "request-invalid"],
  ["ESC in a value", `GET / HTTP/1.1\r\n${host}X: \x1b[2J\r\n\r\n`, "request-invalid"],
  ["a line without a colon", `GET / HTTP/1.1\r\n${host}hello\r\n\r\n`, "request-invalid"],
  ["an empty name", `GET / HTTP/1.1\r\n${host}: x\r\n\r\n`, "request-invalid"],
  ["a name with a byte above 127", `GET / HTTP/1.1\r\n${host}N\xe9: x\r\n\r\n`, "request-invalid"],
  ["a name with a comma", `GET / HTTP/1.1\r\n${host}a,b: x\r\n\r\n`, "request-invalid"],
  ["two spaces before the target", `GET  / HTTP/1.1\r\n${host}\r\n`, "request-invalid"],
  ["two spaces before the version", `GET /  HTTP/1.1\r\n${host}\r\n`, "request-invalid"],
  ["a tab in the request line", `GET\t/ HTTP/1.1\r\n${host}\r\n`, "request-invalid"],
  ["a space after the version", `GET / HTTP/1.1 \r\n${host}\r\n`, "request-invalid"],
  ["a space before the method", ` GET / HTTP/1.1\r\n${host}\r\n`, "request-invalid"],
  ["a method that is no token", `G(T / HTTP/1.1\r\n${host}\r\n`, "request-invalid"],
  ["no target", `GET HTTP/1.1\r\n${host}\r\n`, "request-invalid"],
  ["no version", `GET /\r\n${host}\r\n`, "request-invalid"],
  ["lower-case http", `GET / http/1.1\r\n${host}\r\n`, "request-invalid"],
  ["HTTP/1.10", `GET / HTTP/1.10\r\n${host}\r\n`, "request-invalid"],
  ["HTTP/11.1", `GET / HTTP/11.1\r\n${host}\r\n`, "request-invalid"],
  ["HTTP/1.2", `GET / HTTP/1.2\r\n${host}\r\n`, "version-refused"],
  ["HTTP/0.9 spelled out", `GET / HTTP/0.9\r\n${host}\r\n`, "version-refused"],
  ["the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "version-refused"],
  ["a TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "request-invalid"],
  ["too many empty lines", `${"\r\n".repeat(5)}GET / HTTP/1.1\r\n${host}\r\n`, "request-invalid"],
  ["a CR alone before the request", `\rGET / HTTP/1.1\r\n${host}\r\n`, "request-invalid"],
  ["a head of 64 KiB", `GET / HTTP/1.1\r\n${host}X: ${"x".repeat(65_536)}\r\n\r\n`, "head-too-large"],
  ["a request line without end", `GET /${"x".repeat(65_536)}`, "head-too-large"],
  ["a body that is cut off", `POST / HTTP/1.1\r\n${host}Content-Length: 4\r\n\r\nabc`, "request-invalid"],
  ["a head that is cut off", `GET / HTTP/1.1\r\n${host}`, "request-invalid"],
  ["a chunk size that is negative", `${chunkedHead}-1\r\nx\r\n0\r\n\r\n`, "request-invalid"],
  ["a chunk size with 0x", `${chunkedHead}0x1\r\nx\r\n0\r\n\r\n`, "request-invalid"],
  ["a chunk size with a plus", `${chunkedHead}+1\r\nx\r\n0\r\n\r\n`, "request-invalid"],
  ["a chunk size after a space", `${chunkedHead} 1\r\nx\r\n0\r\n\r\n`, "request-invalid"],
  ["a chunk size before a space", `${chunkedHead}1 \r\nx\r\n0\r\n\r\n`, "request-invalid"],
  ["a chunk size with an underscore", `${chunkedHead}1_0\r\nx\r\n0\r\n\r\n`, "request-invalid"],
  ["a chunk size that overflows", `${chunkedHead}FFFFFFFFFFFFFFFF1\r\nx\r\n0\r\n\r\n`, "request-invalid"],
  ["a chunk size of 14 zeros", `${chunkedHead}${"0".repeat(14)}\r\n\r\n`, "request-invalid"],
  ["an empty chunk size", `${chunkedHead}\r\nx\r\n0\r\n\r\n`, "request-invalid"],
  ["an extension without size", `${chunkedHead};a=b\r\n\r\n`, "request-invalid"],
  ["a chunk size ended by LF", `${chunkedHead}1\nx\r\n0\r\n\r\n`, "request-invalid"],
  ["a chunk size ended by CR", `${chunkedHead}1\rx\r\n0\r\n\r\n`, "request-invalid"],
  ["an extension ended by LF", `${chunkedHead}1;a\nx\r\n0\r\n\r\n`, "request-invalid"],
  ["an extension with a bare CR", `${chunkedHead}1;a\rb\r\nx\r\n0\r\n\r\n`, "request-invalid"],
  [
    "an extension that is too long",
    `${chunkedHead}1;${"a".repeat(300)}\r\nx\r\n0\r\n\r\n`,
    "request-invalid",
  ],
  [
    "too many extensions",
    `${chunkedHead}${`1;${"a".repeat(200)}\r\nx\r\n`.repeat(100)}0\r\n\r\n`,
    "request-invalid",
  ],
  ["a chunk longer than its size", `${chunkedHead}1\r\nxy\r\n0\r\n\r\n`, "request-invalid"],
  ["a chunk ended by LF", `${chunkedHead}1\r\nx\n0\r\n\r\n`, "request-invalid"],
  ["a last chunk ended by LF", `${chunkedHead}0\n\n`, "request-invalid"],
  ["trailers ended by LF", `${chunkedHead}0\r\nA: b\n\r\n`, "request-invalid"],
  ["a trailer with a space before the colon", `${chunkedHead}0\r\nA : b\r\n\r\n`, "request-invalid"],
  ["a folded trailer", `${chunkedHead}0\r\nA: b\r\n c\r\n\r\n`, "request-invalid"],
  ["trailers that are too long", `${chunkedHead}0\r\nA: ${"b".repeat(20_000)}\r\n\r\n`, "request-invalid"],
  ["a chunked body that is cut off", `${chunkedHead}1\r\nx\r\n`, "request-invalid"],
];

describe("a request in which readers could disagree is refused", () => {
  for (const [name, text, code] of requests) {
    test(`${name}: ${code}`, () => {
      const whole = readRequests([text]);
      expect(whole.faultCode).toBe(code);
      expect(whole.events.filter((event) => event.startsWith("fault"))).toHaveLength(1);
      const bytewise = readRequests([...text]);
      expect(bytewise.events).toEqual(whole.events);
    });
  }
});

/** Responses likewise: an origin that speaks so is not believed. */
const responses: readonly [string, string, string][] = [
  [
    "Content-Length with Transfer-Encoding",
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "origin-invalid",
  ],
  [
    "two Content-Lengths",
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "origin-invalid",
  ],
  [
    "two Content-Lengths of a 304",
    "HTTP/1.1 304 X\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "origin-invalid",
  ],
  [
    "gzip as transfer coding",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "origin-invalid",
  ],
  ["a folded line", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n", "origin-invalid"],
  ["a bare LF", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "origin-invalid"],
  ["two digits of status", "HTTP/1.1 20 OK\r\n\r\n", "origin-invalid"],
  ["four digits of status", "HTTP/1.1 2000 OK\r\n\r\n", "origin-invalid"],
  ["a status below 100", "HTTP/1.1 099 OK\r\n\r\n", "origin-invalid"],
  ["no HTTP at all", "220 smtp.example ESMTP\r\n\r\n", "origin-invalid"],
  ["HTTP/2", "HTTP/2.0 200 OK\r\n\r\n", "origin-invalid"],
  ["bytes after the end", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab", "origin-invalid"],
  ["a second response", "HTTP/1.1 204 X\r\n\r\nHTTP/1.1 204 X\r\n\r\n", "origin-invalid"],
  ["a body that is cut off", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", "origin-closed"],
  [
    "a chunked body that is cut off",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    "origin-closed",
  ],
  ["a head that is cut off", "HTTP/1.1 200 OK\r\nContent-", "origin-closed"],
  ["nothing", "", "origin-closed"],
  ["only 1xx", "HTTP/1.1 100 Continue\r\n\r\n", "origin-closed"],
  ["1xx without end", "HTTP/1.1 102 Processing\r\n\r\n".repeat(40), "origin-invalid"],
  ["a head of 64 KiB", `HTTP/1.1 200 OK\r\nX: ${"x".repeat(65_536)}\r\n\r\n`, "origin-invalid"],
];

describe("a response that can't be believed is a fault", () => {
  for (const [name, text, code] of responses) {
    test(`${name}: ${code}`, () => {
      const whole = readResponse([text]);
      expect(whole.faultCode).toBe(code);
      expect(readResponse([...text]).events).toEqual(whole.events);
    });
  }
});
