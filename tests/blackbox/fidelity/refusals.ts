import type { Limits } from "../programs/except.ts";

/** A request that must never reach an origin whole, and what a visitor may be told. */
export interface Refusal {
  readonly name: string;
  /** Exact bytes as latin-1; `HOST` stands for the Host of the tunnel. */
  readonly request: string;
  /** The fault lies in the body: its head may have reached the origin, its end must not. */
  readonly inBody?: boolean;
  /** Where a platform reads HTTP/1.1 by rules of its own. There the result is written down and not asserted. */
  readonly limits?: Limits;
}

/** Follows each bad request: it must not be read as a request of its own. */
const smuggled = "GET /smuggled HTTP/1.1\r\nHost: HOST\r\n\r\n";
const post = (fields: string, body = "") => `POST /refused HTTP/1.1\r\nHost: HOST\r\n${fields}\r\n${body}`;
const get = (fields: string) => `GET /refused HTTP/1.1\r\nHost: HOST\r\n${fields}\r\n`;
const chunked = (body: string) => post("Transfer-Encoding: chunked\r\n", body);

/** What goes on to the origin is written anew from what workerd has read, so no origin reads it in another way. */
const lenient = {
  workerd:
    "workerd reads HTTP/1.1 itself, and less strictly; what it has read is written anew for the origin",
};

export const refusals: readonly Refusal[] = [
  { name: "two Host fields", request: get("Host: HOST\r\n") },
  { name: "two Host fields, the second another tunnel's", request: get("Host: red.localhost\r\n") },
  { name: "a Host that lists two", request: "GET /refused HTTP/1.1\r\nHost: HOST, red.localhost\r\n\r\n" },
  { name: "a Host with a user part", request: "GET /refused HTTP/1.1\r\nHost: red@HOST\r\n\r\n" },
  { name: "no Host in HTTP/1.1", request: "GET /refused HTTP/1.1\r\n\r\n" },
  {
    name: "absolute form to another host",
    limits: lenient,
    request: "GET http://red.localhost/refused HTTP/1.1\r\nHost: HOST\r\n\r\n",
  },
  {
    name: "absolute form of another scheme",
    limits: lenient,
    request: "GET ftp://HOST/refused HTTP/1.1\r\nHost: HOST\r\n\r\n",
  },
  { name: "CONNECT", request: "CONNECT red.localhost:80 HTTP/1.1\r\nHost: HOST\r\n\r\n" },
  {
    name: "a target without a slash",
    limits: lenient,
    request: "GET refused HTTP/1.1\r\nHost: HOST\r\n\r\n",
  },
  {
    name: "Content-Length and Transfer-Encoding",
    limits: lenient,
    request: post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", `0\r\n\r\n${smuggled}`),
  },
  {
    name: "Transfer-Encoding and Content-Length",
    limits: lenient,
    request: post("Transfer-Encoding: chunked\r\nContent-Length: 6\r\n", `0\r\n\r\n${smuggled}`),
  },
  { name: "two lengths that differ", request: post("Content-Length: 0\r\nContent-Length: 40\r\n", smuggled) },
  { name: "a list of lengths that differ", request: post("Content-Length: 0, 40\r\n", smuggled) },
  { name: "a length with a sign", request: post("Content-Length: +3\r\n", "abc") },
  { name: "a negative length", request: post("Content-Length: -1\r\n", smuggled) },
  { name: "a hexadecimal length", request: post("Content-Length: 0x3\r\n", "abc") },
  { name: "a length beyond all numbers", request: post("Content-Length: 99999999999999999999\r\n", "abc") },
  { name: "an empty length", limits: lenient, request: post("Content-Length:\r\n", smuggled) },
  {
    name: "an unknown transfer coding",
    request: post("Transfer-Encoding: xchunked\r\n", `0\r\n\r\n${smuggled}`),
  },
  {
    name: "chunked twice",
    limits: lenient,
    request: post("Transfer-Encoding: chunked, chunked\r\n", `0\r\n\r\n${smuggled}`),
  },
  {
    name: "two Transfer-Encoding fields",
    request: post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", `0\r\n\r\n${smuggled}`),
  },
  {
    name: "chunked that is not last",
    request: post("Transfer-Encoding: chunked, gzip\r\n", `0\r\n\r\n${smuggled}`),
  },
  { name: "a coding in quotes", request: post('Transfer-Encoding: "chunked"\r\n', `0\r\n\r\n${smuggled}`) },
  {
    name: "Transfer-Encoding with a vertical tab",
    request: post("Transfer-Encoding: \x0bchunked\r\n", `0\r\n\r\n${smuggled}`),
  },
  {
    name: "Transfer-Encoding in HTTP/1.0",
    limits: lenient,
    request: `POST /refused HTTP/1.0\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`,
  },
  { name: "a blank before the colon", limits: lenient, request: post("Content-Length : 3\r\n", "abc") },
  {
    name: "a blank before the colon of Transfer-Encoding",
    limits: lenient,
    request: post("Transfer-Encoding : chunked\r\n", `0\r\n\r\n${smuggled}`),
  },
  { name: "a folded field", limits: lenient, request: get("X-Fold: a\r\n b\r\n") },
  {
    name: "a folded first field",
    limits: lenient,
    request: "GET /refused HTTP/1.1\r\n Host: HOST\r\nHost: HOST\r\n\r\n",
  },
  { name: "lines that end in LF alone", limits: lenient, request: "GET /refused HTTP/1.1\nHost: HOST\n\n" },
  {
    name: "a CR alone within a value",
    limits: lenient,
    request: get("X-A: b\rTransfer-Encoding: chunked\r\n"),
  },
  {
    name: "an LF alone within a value",
    limits: lenient,
    request: get("X-A: b\nTransfer-Encoding: chunked\r\n"),
  },
  { name: "a zero byte in a value", request: get("X-A: b\0c\r\n") },
  { name: "a control byte in a value", request: get("X-A: b\x01c\r\n") },
  { name: "a field without a colon", request: get("X-Nothing\r\n") },
  { name: "a field without a name", request: get(": b\r\n") },
  { name: "a blank in a field name", request: get("X A: b\r\n") },
  { name: "a byte above 127 in a field name", request: get("X-\xe9: b\r\n") },
  {
    name: "a space in the target",
    limits: lenient,
    request: "GET /refused here HTTP/1.1\r\nHost: HOST\r\n\r\n",
  },
  {
    name: "a control byte in the target",
    limits: lenient,
    request: "GET /re\x01fused HTTP/1.1\r\nHost: HOST\r\n\r\n",
  },
  { name: "a method with a forbidden sign", request: "GE(T /refused HTTP/1.1\r\nHost: HOST\r\n\r\n" },
  {
    name: "two spaces in the request line",
    limits: lenient,
    request: "GET  /refused HTTP/1.1\r\nHost: HOST\r\n\r\n",
  },
  { name: "HTTP/0.9", request: "GET /refused\r\n\r\n" },
  { name: "HTTP/3.7", limits: lenient, request: "GET /refused HTTP/3.7\r\nHost: HOST\r\n\r\n" },
  { name: "the preface of HTTP/2", limits: lenient, request: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" },
  { name: "http in lower case", limits: lenient, request: "GET /refused http/1.1\r\nHost: HOST\r\n\r\n" },
  { name: "TLS on the plain port", request: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n" },
  {
    name: "a chunk size that is no number",
    request: chunked(`xyz\r\nabc\r\n0\r\n\r\n${smuggled}`),
    inBody: true,
  },
  { name: "a chunk size with a sign", request: chunked(`+3\r\nabc\r\n0\r\n\r\n${smuggled}`), inBody: true },
  { name: "a chunk size with 0x", request: chunked(`0x3\r\nabc\r\n0\r\n\r\n${smuggled}`), inBody: true },
  {
    name: "a chunk size beyond all numbers",
    request: chunked(`fffffffffffffffff\r\nabc\r\n0\r\n\r\n${smuggled}`),
    inBody: true,
  },
  {
    name: "a chunk longer than its size",
    request: chunked(`3\r\nabcdef\r\n0\r\n\r\n${smuggled}`),
    inBody: true,
  },
  {
    name: "chunk lines that end in LF alone",
    limits: lenient,
    request: chunked(`3\nabc\n0\n\n${smuggled}`),
    inBody: true,
  },
  {
    name: "an endless chunk extension",
    request: chunked(`3;${"x".repeat(100_000)}\r\nabc\r\n0\r\n\r\n${smuggled}`),
    inBody: true,
  },
  {
    name: "trailers of 100 KiB",
    limits: lenient,
    request: chunked(`3\r\nabc\r\n0\r\n${"X-A: b\r\n".repeat(13_000)}\r\n${smuggled}`),
    inBody: true,
  },
];
