import { expect, test } from "bun:test";
import { withoutHopByHop } from "../../shared/http1/hop.ts";

const drop = { keepUpgrade: false };
const keep = { keepUpgrade: true };

test("fields without any of this hop come back as the same array", () => {
  const fields = ["Host", "a", "Transfer-Encoding", "chunked", "Content-Length", "1"];
  expect(withoutHopByHop(fields, drop)).toBe(fields);
});

test("fields of this hop and those that Connection names are removed; the rest keeps its order and case", () => {
  const fields = [
    "hOST",
    "a",
    "Connection",
    "close, X-Hop",
    "Keep-Alive",
    "timeout=5",
    "x-hop",
    "1",
    "X-B",
    "2",
  ];
  const rest = [
    "TE",
    "trailers",
    "Proxy-Connection",
    "x",
    "Proxy-Authorization",
    "y",
    "X-b",
    "3",
    "Upgrade",
    "h2c",
  ];
  expect(withoutHopByHop([...fields, ...rest], drop)).toEqual(["hOST", "a", "X-B", "2", "X-b", "3"]);
});

test("Connection can't take away what framing, routing or checks rest on", () => {
  const fields = ["Host", "a", "Content-Length", "1", "Authorization", "b", "X-Forwarded-For", "c"];
  const named = ["Connection", "Host, content-length", "connection", "authorization,x-forwarded-for"];
  expect(withoutHopByHop([...named, ...fields], drop)).toEqual(fields);
});

test("an upgrade is kept only where it is asked for, and only with Connection: upgrade", () => {
  const fields = ["Connection", "keep-alive, Upgrade", "Upgrade", "websocket", "A", "b"];
  expect(withoutHopByHop(fields, keep)).toEqual(["Connection", "upgrade", "Upgrade", "websocket", "A", "b"]);
  expect(withoutHopByHop(fields, drop)).toEqual(["A", "b"]);
  expect(withoutHopByHop(["Upgrade", "websocket", "A", "b"], keep)).toEqual(["A", "b"]);
});
