import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readCertificate } from "../../relay/runtimes/certificate.ts";
import { UnderpassError } from "../../shared/errors.ts";
import { makeCertificate } from "../blackbox/origins/tls.ts";
import { installed } from "../blackbox/programs/installed.ts";
import { run } from "../blackbox/programs/run.ts";

describe.skipIf(installed("openssl") === undefined)("--tls-cert and --tls-key", () => {
  type Pair = Awaited<ReturnType<typeof makeCertificate>>;
  let own: Pair;
  let other: Pair;
  const at = (name: string): string => join(own.folder, name);

  beforeAll(async () => {
    [own, other] = await Promise.all([makeCertificate(), makeCertificate()]);
    const [first, second] = await Promise.all([own, other].map(({ cert }) => readFile(cert, "utf8")));
    await writeFile(at("chain.pem"), `${first}${second}`);
    await writeFile(at("wrong-chain.pem"), `${second}${first}`);
    await writeFile(at("junk.pem"), "no PEM\n");
    const locked = ["ec", "-in", own.key, "-aes256", "-passout", "pass:x", "-out", at("locked.pem")];
    await run([installed("openssl") ?? "", ...locked], { limitMs: 10_000 });
  });
  afterAll(async () => {
    for (const pair of [own, other]) await rm(pair.folder, { recursive: true, force: true });
  });

  test("are the texts of a certificate, or a chain that begins with it, and its key", async () => {
    for (const cert of [own.cert, at("chain.pem")]) {
      const texts = await readCertificate({ cert, key: own.key });
      expect(texts).toEqual({ cert: await readFile(cert, "utf8"), key: await readFile(own.key, "utf8") });
    }
  });

  test.each<[string, () => { cert: string; key: string }, RegExp]>([
    [
      "a certificate that is not there",
      () => ({ cert: at("none.pem"), key: own.key }),
      /none\.pem can't be read/,
    ],
    ["a key that is not there", () => ({ cert: own.cert, key: at("none.pem") }), /none\.pem can't be read/],
    ["a folder", () => ({ cert: own.folder, key: own.key }), /can't be read/],
    ["what is no certificate", () => ({ cert: at("junk.pem"), key: own.key }), /^--tls-cert: .*junk\.pem/],
    ["what is no key", () => ({ cert: own.cert, key: at("junk.pem") }), /^--tls-key: .*junk\.pem/],
    [
      "a key with a passphrase",
      () => ({ cert: own.cert, key: at("locked.pem") }),
      /^--tls-key: .*passphrase/,
    ],
    ["the two in each other's place", () => ({ cert: own.key, key: own.cert }), /^--tls-cert: /],
    ["another's key", () => ({ cert: own.cert, key: other.key }), /^--tls-key: .* is not the key of/],
    ["a chain in the wrong order", () => ({ cert: at("wrong-chain.pem"), key: own.key }), /^--tls-key: /],
  ])("are refused with what to do: %s", async (_what, paths, message) => {
    const error = await readCertificate(paths()).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(UnderpassError);
    expect(error).toMatchObject({ code: "usage", message: expect.stringMatching(message) });
  });
});
