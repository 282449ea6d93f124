import { beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { alerts } from "../../shared/tls/alert.ts";
import { ClientHelloReader } from "../../shared/tls/client-hello-reader.ts";
import { helloLimits } from "../../shared/tls/limits.ts";
import {
  ascii,
  concat,
  type Extension,
  handshake,
  helloBody,
  helloMessage,
  makeHello,
  protocols,
  records,
  serverNames,
  u16,
  vector16,
} from "./made-hello.ts";
import { type RealHello, realHellos } from "./real-hellos.ts";

const testLimitMs = 60_000;
const settings = { seed: 20_261_121, numRuns: 500 };

/** What the reader makes of pieces, as plain data; it is checked on the way that it stays within its bound. */
function read(...pieces: readonly Uint8Array[]): Record<string, unknown> {
  const reader = new ClientHelloReader();
  for (const [i, piece] of pieces.entries()) {
    const result = reader.push(piece);
    expect(reader.heldBytes).toBeLessThanOrEqual(helloLimits.maxBytes);
    if (result === undefined) continue;
    expect(reader.heldBytes).toBe(0);
    expect(reader.push(Uint8Array.of(22))).toBeUndefined();
    if (result.kind === "fault") return { fault: result.alert ?? "silent" };
    expect(Buffer.concat([result.bytes]).equals(Buffer.concat(pieces.slice(0, i + 1)))).toBe(true);
    return { sni: result.sni, alpn: result.alpn };
  }
  return { more: true };
}

const withExtensions = (...extensions: readonly Extension[]): Uint8Array =>
  records(handshake(helloBody({}, extensions)));
const withBody = (body: Uint8Array): Uint8Array => records(handshake(body));
const bytesOf = (bytes: Uint8Array): Uint8Array[] => [...bytes].map((byte) => Uint8Array.of(byte));
const more = { more: true };
const malformed = { fault: alerts.decodeError };
const illegal = { fault: alerts.illegalParameter };
const unexpected = { fault: alerts.unexpectedMessage };
const silent = { fault: "silent" };

describe("what real programs say", () => {
  let hellos: readonly RealHello[] = [];
  beforeAll(async () => {
    hellos = await realHellos();
  }, testLimitMs);

  test("is read as they were told to say it", () => {
    expect(hellos.length).toBeGreaterThan(1);
    for (const { program, bytes, sni, alpn } of hellos)
      expect([program, read(bytes)]).toEqual([program, { sni, alpn }]);
  });

  test("is read the same cut in two at every byte, and byte by byte", () => {
    for (const { bytes, sni, alpn } of hellos) {
      for (let at = 1; at < bytes.length; at++) {
        expect(read(bytes.subarray(0, at))).toEqual(more);
        expect(read(bytes.subarray(0, at), bytes.subarray(at))).toEqual({ sni, alpn });
      }
      expect(read(...bytesOf(bytes))).toEqual({ sni, alpn });
    }
  });

  test("has a hello in several records, where a program cuts them small", () => {
    const cut = hellos.filter(({ program }) => program.includes("512"));
    for (const { bytes } of cut) expect(((bytes[3] ?? 0) << 8) | (bytes[4] ?? 0)).toBe(512);
  });

  test("is never thrown at when some of its bytes are others", () => {
    for (const { bytes } of hellos) {
      const change = fc.tuple(fc.nat(bytes.length - 1), fc.nat(255));
      fc.assert(
        fc.property(fc.array(change, { minLength: 1, maxLength: 6 }), fc.nat(bytes.length), (changes, at) => {
          const other = bytes.slice();
          for (const [place, value] of changes) other[place] = value;
          const whole = read(other);
          const inTwo = read(other.subarray(0, at), other.subarray(at));
          expect(inTwo).toEqual(whole);
        }),
        settings,
      );
    }
  });
});

describe("a ClientHello", () => {
  test("may lie in records of any size, and come in pieces of any size", () => {
    const alpn = ["h2", "http/1.1"];
    const message = helloMessage({ sni: "blue.example.com", alpn });
    const sizes = fc.array(fc.integer({ min: 1, max: 200 }), { maxLength: helloLimits.maxRecords - 1 });
    const cuts = fc.array(fc.nat(message.length + 40), { maxLength: 8 });
    fc.assert(
      fc.property(sizes, cuts, (into, at) => {
        const all = records(message, ...into);
        const places = [...new Set([0, ...at.sort((a, b) => a - b), all.length])].filter(
          (place) => place <= all.length,
        );
        const pieces = places.slice(1).map((end, i) => all.subarray(places[i], end));
        expect(read(...pieces)).toEqual({ sni: "blue.example.com", alpn });
      }),
      settings,
    );
  });

  test("is handed on with what came after it in the same piece", () => {
    const hello = makeHello({ sni: "blue.example.com" });
    const early = new Uint8Array(60_000).fill(3);
    expect(read(concat(hello, early))).toEqual({ sni: "blue.example.com", alpn: undefined });
    expect(read(hello.subarray(0, 50), concat(hello.subarray(50), early))).toMatchObject({
      sni: "blue.example.com",
    });
  });

  test("may have no name, no extensions, or only unknown and GREASE ones (RFC 8701)", () => {
    const grease: Extension[] = [
      [0x0a0a, new Uint8Array(0)],
      [0xfafa, Uint8Array.of(0)],
      [0x002b, Uint8Array.of(6, 0x2a, 0x2a, 3, 4, 3, 3)],
    ];
    const none = { sni: undefined, alpn: undefined };
    expect(read(withExtensions())).toEqual(none);
    expect(read(withBody(helloBody({}, undefined)))).toEqual(none);
    expect(read(withExtensions(...grease))).toEqual(none);
    const ciphers = Uint8Array.of(0x8a, 0x8a, 0x13, 0x01);
    const made = { sni: "a.b", alpn: ["\x5a\x5a", "h2"], extensions: grease, ciphers };
    expect(read(makeHello(made))).toEqual({ sni: "a.b", alpn: ["\x5a\x5a", "h2"] });
  });

  test("that is encrypted counts by its outer name", () => {
    const inner = makeHello({ sni: "secret.example.com" });
    const encrypted: Extension = [
      0xfe0d,
      concat(Uint8Array.of(0, 0, 1, 0, 1, 9), vector16(), vector16(inner)),
    ];
    expect(read(makeHello({ sni: "public.example.com", extensions: [encrypted] }))).toMatchObject({
      sni: "public.example.com",
    });
  });

  test("has its name as it was sent: upper case, a trailing dot, an address", () => {
    for (const sni of ["BLUE.Example.com", "blue.example.com.", "192.0.2.1", "::1", "a_b.c", "x".repeat(300)])
      expect(read(makeHello({ sni }))).toMatchObject({ sni });
  });

  test("may have a name of a kind that is to come beside its host name, but not two host names", () => {
    const other = [7, ascii("else")] as const;
    const blue = [0, ascii("blue")] as const;
    expect(read(withExtensions(serverNames(other, blue)))).toMatchObject({ sni: "blue" });
    expect(read(withExtensions(serverNames(blue, [0, ascii("green")])))).toEqual(illegal);
    expect(read(withExtensions(serverNames(blue), serverNames(blue)))).toEqual(illegal);
    expect(read(withExtensions(protocols("h2"), protocols("h2")))).toEqual(illegal);
    expect(read(withExtensions(serverNames(other)))).toEqual(malformed);
  });

  test("is refused for bytes that no name has", () => {
    for (const name of ["blue\0.example.com", "\0", "blue example", "blü", "a\nb", "\x7f"])
      expect(read(withExtensions(serverNames([0, ascii(name)])))).toEqual(illegal);
  });

  test.each<[string, Uint8Array]>([
    ["an empty server_name", withExtensions([0, new Uint8Array(0)])],
    ["an empty list of names", withExtensions([0, u16(0)])],
    ["an empty name", withExtensions(serverNames([0, new Uint8Array(0)]))],
    ["a name beyond its list", withExtensions([0, vector16(Uint8Array.of(0, 0, 9, 97))])],
    ["a list of names beyond its extension", withExtensions([0, Uint8Array.of(0, 9, 0, 0, 1, 97)])],
    ["bytes after the list of names", withExtensions([0, Uint8Array.of(0, 4, 0, 0, 1, 97, 0)])],
    ["an empty ALPN", withExtensions([16, new Uint8Array(0)])],
    ["an empty list of protocols", withExtensions([16, u16(0)])],
    ["an empty protocol", withExtensions(protocols("h2", ""))],
    ["a protocol beyond its list", withExtensions([16, vector16(Uint8Array.of(3, 104, 50))])],
    ["an extension beyond the list", withBody(concat(helloBody({}, undefined), vector16(u16(5), u16(9))))],
    ["half an extension", withBody(concat(helloBody({}, undefined), vector16(u16(5))))],
    ["bytes after the extensions", withBody(concat(helloBody({}, []), Uint8Array.of(0)))],
    ["extensions beyond the message", withBody(concat(helloBody({}, undefined), u16(4)))],
    ["half a length of extensions", withBody(concat(helloBody({}, undefined), Uint8Array.of(0)))],
    ["a session id of 33 bytes", withBody(helloBody({ sessionId: new Uint8Array(33) }, []))],
    ["no ciphers", withBody(helloBody({ ciphers: new Uint8Array(0) }, []))],
    ["half a cipher", withBody(helloBody({ ciphers: new Uint8Array(3) }, []))],
    ["no compression", withBody(helloBody({ compressions: new Uint8Array(0) }, []))],
    ["a body that ends in the random", withBody(new Uint8Array(20))],
    ["an empty body", withBody(new Uint8Array(0))],
  ])("is refused with %s, as soon as all of it is here", (_, bytes) => {
    expect(read(bytes)).toEqual(malformed);
    expect(read(bytes.subarray(0, -1))).toEqual(more);
    expect(read(...bytesOf(bytes))).toEqual(malformed);
  });

  test("is refused by the byte that shows that it is above the bound, and taken at it", () => {
    const room =
      helloLimits.maxBytes - makeHello({ sni: "blue", extensions: [[21, new Uint8Array(0)]] }).length;
    const padded = (bytes: number) => makeHello({ sni: "blue", extensions: [[21, new Uint8Array(bytes)]] });
    expect(read(padded(room))).toMatchObject({ sni: "blue" });
    expect(read(...bytesOf(padded(room)))).toMatchObject({ sni: "blue" });
    expect(read(padded(room + 1).subarray(0, 9))).toEqual(malformed);
    expect(read(padded(room + 1).subarray(0, 8))).toEqual(more);
    expect(read(Uint8Array.of(22, 3, 1, 0, 9, 1, 0xff, 0xff, 0xff))).toEqual(malformed);
    const inTwo = records(helloMessage({ sni: "blue", extensions: [[21, new Uint8Array(room)]] }), 1_000);
    expect(read(inTwo)).toEqual(malformed);
    expect(read(...bytesOf(inTwo))).toEqual(malformed);
    const full = helloMessage({ sni: "blue", extensions: [[21, new Uint8Array(room)]] });
    expect(read(...bytesOf(records(full, full.length - 1)))).toEqual(malformed);
  });

  test("is refused in more records than anybody needs, empty ones and ones above 16 KiB", () => {
    const message = helloMessage({ sni: "blue" });
    const ones = (count: number) => records(message, ...new Array<number>(count - 1).fill(1));
    expect(read(ones(helloLimits.maxRecords))).toMatchObject({ sni: "blue" });
    expect(read(ones(helloLimits.maxRecords + 1))).toEqual(malformed);
    expect(read(ones(helloLimits.maxRecords + 1).subarray(0, 6 * helloLimits.maxRecords))).toEqual(malformed);
    expect(read(Uint8Array.of(22, 3, 1, 0, 0))).toEqual(unexpected);
    expect(read(Uint8Array.of(22, 3, 1, 0x40, 1))).toEqual({ fault: alerts.recordOverflow });
  });
});

describe("what is no ClientHello", () => {
  test.each([
    ["HTTP", ascii("GET / HTTP/1.1\r\n\r\n")],
    ["SSH", ascii("SSH-2.0-OpenSSH_9.2\r\n")],
    ["PROXY v2", Uint8Array.of(0x0d, 0x0a, 0x0d, 0x0a)],
    ["an alert", Uint8Array.of(21, 3, 3, 0, 2, 1, 0)],
    ["a record of no TLS", Uint8Array.of(22, 2)],
    ["zeros", new Uint8Array(4)],
    ["binary that is not SSLv2", Uint8Array.of(0x80, 0x2e, 4)],
  ])("is told apart by its first bytes, and not answered: %s", (_, bytes) => {
    expect(read(bytes)).toEqual(silent);
    expect(read(...bytesOf(bytes))).toEqual(silent);
  });

  test("is answered where it is SSLv2, another handshake message, or interrupted", () => {
    const v2 = Uint8Array.of(0x80, 0x2e, 1, 3, 1, 0, 0x15);
    expect(read(v2)).toEqual({ fault: alerts.protocolVersion });
    expect(read(v2.subarray(0, 2))).toEqual(more);
    expect(read(records(handshake(new Uint8Array(40), 2)).subarray(0, 6))).toEqual(unexpected);
    const cut = records(helloMessage({ sni: "blue" }), 30).subarray(0, 35);
    expect(read(concat(cut, Uint8Array.of(23)))).toEqual(unexpected);
    expect(read(concat(cut, Uint8Array.of(22, 4)))).toEqual(silent);
  });

  test("never makes it throw, or hold more than its bound", () => {
    const anything = fc.uint8Array({ maxLength: 2_000 });
    const likeHello = fc
      .tuple(anything, fc.array(fc.integer({ min: 1, max: 300 }), { maxLength: 10 }))
      .map(([body, sizes]) => records(handshake(body), ...sizes));
    const likeExtensions = fc
      .array(fc.tuple(fc.constantFrom(0, 16, 5), fc.uint8Array({ maxLength: 20 })), { maxLength: 5 })
      .map((extensions) => withExtensions(...extensions));
    fc.assert(
      fc.property(
        fc.array(fc.oneof(anything, likeHello, likeExtensions), { minLength: 1, maxLength: 12 }),
        fc.nat(500),
        (pieces, at) => {
          const whole = concat(...pieces);
          const result = read(...pieces);
          if (whole.length > helloLimits.maxBytes) expect(result).not.toEqual(more);
          expect(read(whole)).toMatchObject(result);
          expect(read(whole.subarray(0, at), whole.subarray(at))).toMatchObject(result);
        },
      ),
      { ...settings, numRuns: 2_000 },
    );
  });
});
