import { expect, test } from "bun:test";
import fc from "fast-check";
import { ForwardedLines, forwardRequest } from "../../relay/forwarded.ts";
import { openingBytes, openingFields, readAnswerHead } from "../../relay/ingress/heads.ts";
import { decodeHead, encodeHead } from "../../shared/head.ts";
import { HttpFault } from "../../shared/http1/fault.ts";
import { writeFields } from "../../shared/http1/head.ts";
import { withoutHopByHop } from "../../shared/http1/hop.ts";
import { encodeLatin1 } from "../../shared/http1/latin1.ts";
import { parseRequestHead } from "../../shared/http1/read-head.ts";

const arrival = { remote: "203.0.113.7:4711", scheme: "https" } as const;

const name = fc.constantFrom(
  ..."Accept accept Cookie X-Forwarded-For x_forwarded_host Forwarded X-Real-IP Connection Keep-Alive TE Proxy-Connection Range Underpass-Secret X-Y".split(
    " ",
  ),
);
const value = fc.constantFrom(
  "a",
  "",
  "keep-alive",
  "close",
  "close, Range",
  "trailers",
  "a=b; c",
  "x\u00e9",
);
const fieldLists = fc.array(fc.tuple(name, value), { maxLength: 12 });

const read = (fields: Uint8Array | undefined): string[] => {
  const http = decodeHead(fields ?? new Uint8Array(0))?.http;
  const head = http === undefined ? undefined : parseRequestHead(http);
  if (head === undefined || head instanceof HttpFault) throw new Error("no head");
  return [head.method, head.target, ...head.fields];
};

test("a head that goes on as bytes says what one says that is written anew", () => {
  const shortened = { asBytes: 0, anew: 0 };
  fc.assert(
    fc.property(fieldLists, fc.nat(12), (list, hostAt) => {
      const fields = [...list.slice(0, hostAt), ["Host", "blue.test:80"], ...list.slice(hostAt)].flat();
      const http = encodeLatin1(`GET /a%2Fb?c HTTP/1.1\r\n${writeFields(fields)}\r\n`);
      const expected = forwardRequest({ fields: withoutHopByHop(fields, { keepUpgrade: false }) }, arrival);
      const head = parseRequestHead(http);
      if (head instanceof HttpFault) throw head;
      const asBytes = openingBytes(head, "blue.test:80", new ForwardedLines(arrival));
      if (asBytes === undefined) shortened.anew++;
      else {
        shortened.asBytes++;
        expect(read(asBytes)).toEqual(["GET", "/a%2Fb?c", ...expected]);
        expect(decodeHead(asBytes)?.visitor).toBe(arrival.remote);
      }
      const anew = openingFields({ method: "GET", target: "/a%2Fb?c", fields, upgrade: false, ...arrival });
      expect(read(anew)).toEqual(["GET", "/a%2Fb?c", ...expected]);
    }),
    { seed: 1, numRuns: 2_000 },
  );
  expect(Math.min(shortened.asBytes, shortened.anew)).toBeGreaterThan(200);
});

test("an answer's head with an empty line in it or behind it is refused: what is added would stand in the body", () => {
  const head = (text: string) => readAnswerHead(encodeHead({ http: encodeLatin1(text) }), "GET");
  const plain = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n";
  expect(head(plain)?.kind).toBe("head");
  expect(head(`${plain}\r\n`)).toBeUndefined();
  expect(head(`${plain}\r\nX-A: b\r\n`)).toBeUndefined();
  expect(head(`${plain}\r\nX-A: b\r\n\r\n`)).toBeUndefined();
});
