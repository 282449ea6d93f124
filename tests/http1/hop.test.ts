import { expect, test } from "bun:test";
import fc from "fast-check";
import { HttpFault } from "../../shared/http1/fault.ts";
import { fieldValue, writeFields } from "../../shared/http1/head.ts";
import { copyHead, keptBytes } from "../../shared/http1/head-bytes.ts";
import {
  connectionNames,
  hasMark,
  linesOfThisHop,
  namedByConnection,
  withoutHopByHop,
} from "../../shared/http1/hop.ts";
import { decodeLatin1, encodeLatin1 } from "../../shared/http1/latin1.ts";
import { Mark } from "../../shared/http1/marks.ts";
import { parseResponseHead } from "../../shared/http1/read-head.ts";

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

const someName = fc.constantFrom("Connection", "connection", "Keep-Alive", "TE", "Upgrade", "X-A", "Host");
const someValue = fc.constantFrom(
  "close",
  "Keep-Alive",
  "keep-alive",
  "Upgrade",
  "close, X-A",
  "keep-alive,",
  "",
);
const someFields = fc.array(fc.tuple(someName, someValue), { maxLength: 6 });

test("what is read off the bytes is what the texts say", () => {
  fc.assert(
    fc.property(someFields, (list) => {
      const fields = list.flat();
      const head = parseResponseHead(encodeLatin1(`HTTP/1.1 200 OK\r\n${writeFields(fields)}`));
      if (head instanceof HttpFault) throw head;
      expect(head.fields).toEqual(fields);
      const named = namedByConnection(fields);
      for (const name of ["close", "keep-alive", "upgrade"] as const)
        expect([name, connectionNames(head, name)]).toEqual([name, named.has(name)]);
      expect(hasMark(head, Mark.upgrade)).toBe(fieldValue(fields, "upgrade") !== undefined);
      expect(head.firstOf(Mark.host)).toBe(fieldValue(fields, "host"));
      const dropped = linesOfThisHop(head);
      if (dropped === undefined) return;
      const kept = new Uint8Array(keptBytes(head, dropped));
      expect(copyHead(head, dropped, kept, 0)).toBe(kept.length);
      expect(decodeLatin1(kept)).toBe(
        `HTTP/1.1 200 OK\r\n${writeFields(withoutHopByHop(fields, { keepUpgrade: false }))}`,
      );
    }),
    { seed: 1, numRuns: 2_000 },
  );
});
