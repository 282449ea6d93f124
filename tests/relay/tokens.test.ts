import { describe, expect, test } from "bun:test";
import { SignJWT, UnsecuredJWT } from "jose";
import { secretFromText } from "../../relay/auth/secret.ts";
import { Tokens } from "../../relay/auth/tokens.ts";
import { UnderpassError } from "../../shared/errors.ts";

const secret = secretFromText("0123456789abcdef0123456789abcdef");
const tokens = new Tokens(secret);
const nowMs = 1_800_000_000_000;
const nowSeconds = nowMs / 1000;
const good = { iss: "underpass", aud: "underpass", sub: "alice", iat: nowSeconds, exp: nowSeconds + 60 };

const signed = (payload: object, alg = "HS256", key: Uint8Array = secret) =>
  new SignJWT({ ...payload }).setProtectedHeader({ alg }).sign(key);

async function refusal(jwt: string, dateMs = nowMs): Promise<UnderpassError> {
  try {
    await tokens.verify(jwt, dateMs);
  } catch (error) {
    if (error instanceof UnderpassError) return error;
    throw error;
  }
  throw new Error("was accepted");
}

describe("tokens", () => {
  test("what was minted is verified, with all that it grants", async () => {
    const jwt = await tokens.mint(
      {
        subject: "alice",
        names: ["a-*"],
        kinds: ["http"],
        connect: ["db"],
        egress: ["*:443"],
        admin: true,
        ttlMs: 60_000,
      },
      nowMs,
    );
    expect(await tokens.verify(jwt, nowMs)).toEqual({
      issuer: "underpass",
      subject: "alice",
      names: ["a-*"],
      kinds: ["http"],
      connect: ["db"],
      egress: ["*:443"],
      issuedAtMs: nowMs,
      expiresAtMs: nowMs + 60_000,
      admin: true,
    });
  });

  test.each([
    ["that has expired", { ...good, exp: nowSeconds - 6 }, "has expired"],
    ["that is not yet valid", { ...good, nbf: nowSeconds + 6 }, "not yet valid"],
    ["of another issuer", { ...good, iss: "other" }, "'iss'"],
    ["without an issuer", { ...good, iss: undefined }, "'iss'"],
    ["for another audience", { ...good, aud: "other" }, "'aud'"],
    ["without an audience", { ...good, aud: undefined }, "'aud'"],
    ["without a subject", { ...good, sub: undefined }, "'sub'"],
    ["with an empty subject", { ...good, sub: "" }, "'sub'"],
    ["without iat", { ...good, iat: undefined }, "'iat'"],
    ["without exp", { ...good, exp: undefined }, "'exp'"],
    ["with a text for exp", { ...good, exp: "never" }, "'exp'"],
    ["with a text for nbf", { ...good, nbf: "now" }, "'nbf'"],
    ["with a text for names", { ...good, names: "*" }, "'names'"],
  ])("a token %s is refused, and told why", async (_what, payload, reason) => {
    const jwt = await signed(payload);
    const error = await refusal(jwt);
    expect(error.code).toBe("unauthorized");
    expect(error.message).toContain(reason);
  });

  test("clocks may differ by five seconds either way", async () => {
    expect((await tokens.verify(await signed({ ...good, exp: nowSeconds - 4 }), nowMs)).subject).toBe(
      "alice",
    );
    expect((await tokens.verify(await signed({ ...good, nbf: nowSeconds + 4 }), nowMs)).subject).toBe(
      "alice",
    );
  });

  test("one that was good before is refused when it has expired, and before its time by a clock that was set back", async () => {
    const jwt = await signed({ ...good, nbf: nowSeconds });
    const claims = await tokens.verify(jwt, nowMs);
    expect(await tokens.verify(jwt, nowMs + 59_999)).toEqual(claims);
    expect(await tokens.verify(jwt, nowMs + 64_999)).toEqual(claims);
    expect((await refusal(jwt, nowMs + 66_000)).message).toContain("has expired");
    expect((await refusal(jwt, nowMs - 6_000)).message).toContain("not yet valid");
    expect((await refusal(`${jwt}A`)).code).toBe("unauthorized");
  });

  test("more of them than are remembered are all good", async () => {
    const all = await Promise.all(
      Array.from({ length: 1_100 }, (_, i) => signed({ ...good, sub: `s-${i}` })),
    );
    for (let round = 0; round < 2; round++)
      for (const [i, jwt] of all.entries()) expect((await tokens.verify(jwt, nowMs)).subject).toBe(`s-${i}`);
  });

  test("a token that was signed with another key is refused", async () => {
    const other = secretFromText("another key another key another key");
    expect((await refusal(await signed(good, "HS256", other))).message).toContain("another key");
  });

  test("alg none and other algorithms are refused, with the right key too", async () => {
    expect((await refusal(new UnsecuredJWT({ ...good }).encode())).code).toBe("unauthorized");
    expect((await refusal(`${new UnsecuredJWT({ ...good }).encode()}AAAA`)).message).toContain("HS256");
    expect((await refusal(await signed(good, "HS512", new Uint8Array(64).fill(1)))).message).toContain(
      "HS256",
    );
  });

  test("garbage of any form is refused as malformed", async () => {
    const jwt = await signed(good);
    const [head = "", payload = "", signature = ""] = jwt.split(".");
    const garbage = [
      "",
      "x",
      "..",
      "a.b.c",
      "a.b.c.d",
      ` ${jwt}`,
      `${jwt}\n`,
      `${head}.${payload}`,
      `${head}.${payload}.${signature}.x`,
      `${head}.!.${signature}`,
      `${btoa("null").replaceAll("=", "")}.${payload}.${signature}`,
      "\u0000.\u0000.\u0000",
    ];
    for (const text of garbage) {
      const error = await refusal(text);
      expect(error.code).toBe("unauthorized");
      expect(error.message).toContain("malformed");
    }
  });

  test("one changed character of the payload is noticed", async () => {
    const [head, payload = "", signature] = (await signed(good)).split(".");
    const forged = JSON.stringify({ ...good, sub: "mallory" });
    const swapped = btoa(forged).replaceAll("=", "");
    expect(swapped).not.toBe(payload);
    expect((await refusal(`${head}.${swapped}.${signature}`)).message).toContain("another key");
  });

  test("a token over 8 KiB is refused before it is parsed", async () => {
    const long = await signed({ ...good, padding: "x".repeat(8_192) });
    expect((await refusal(long)).message).toContain("longer");
  });

  test("no refusal holds the token, nor a cause that does", async () => {
    const jwt = await signed({ ...good, sub: "subject-of-alice", exp: 1 });
    const error = await refusal(jwt);
    const shown = Bun.inspect(error, { depth: 10 });
    for (const part of [...jwt.split("."), "subject-of-alice"]) expect(shown).not.toContain(part);
    expect(error.cause).toBeUndefined();
  });

  test("nothing is minted that would not be accepted", async () => {
    const tooMuch = [
      { subject: "", ttlMs: 1000 },
      { subject: "a", names: ["UPPER"], ttlMs: 1000 },
      { subject: "a", ttlMs: 1e300 },
      { subject: "a", names: new Array(256).fill("a".repeat(63)), ttlMs: 1000 },
    ];
    for (const grant of tooMuch) {
      const error = await tokens.mint(grant, nowMs).catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(UnderpassError);
      expect((error as UnderpassError).code).toBe("usage");
    }
  });

  test("nothing is minted with a pattern of egress that is wrong, and it is told why", async () => {
    const grant = { subject: "a", egress: ["*:443", "10.0.0.1/8:443"], ttlMs: 1000 };
    const error = await tokens.mint(grant, nowMs).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: "usage", message: expect.stringContaining("10.0.0.1/8:443") });
  });

  test("a secret is the bytes less one newline, and has at least 32", () => {
    const text = "0123456789abcdef0123456789abcde";
    expect(() => secretFromText(text)).toThrow(UnderpassError);
    expect(() => secretFromText(`${text}\n`)).toThrow("31");
    expect(secretFromText(`${text}ß\n`).length).toBe(33);
    expect(secretFromText(`${text}x\n\n`).length).toBe(33);
    expect(secretFromText(`${text}x\r\n`).length).toBe(32);
    expect(() => new Tokens(new Uint8Array(31))).toThrow(UnderpassError);
  });
});
