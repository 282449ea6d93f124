import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { resolve } from "node:path";
import { UnderpassError } from "../../shared/errors.ts";
import { readText } from "./files.ts";

/**
 * The texts of --tls-cert and --tls-key. Bun and Deno. Throws `usage`, naming the switch that is wrong: Deno would listen
 * with a pair that doesn't fit, and fail at every handshake; Bun says what OpenSSL says.
 */
export async function readCertificate(paths: {
  readonly cert: string;
  readonly key: string;
}): Promise<{ readonly cert: string; readonly key: string }> {
  const cert = await readText(paths.cert);
  const key = await readText(paths.key);
  const first = parsed("--tls-cert", paths.cert, "certificate", () => new X509Certificate(cert));
  const own: KeyObject = parsed("--tls-key", paths.key, "private key without a passphrase", () =>
    createPrivateKey(key),
  );
  if (!first.checkPrivateKey(own)) {
    const message = `--tls-key: ${resolve(paths.key)} is not the key of the first certificate in ${resolve(paths.cert)}. Give the pair that was issued together, the relay's own certificate first.`;
    throw new UnderpassError("usage", message);
  }
  return { cert, key };
}

function parsed<T>(name: string, path: string, what: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    throw new UnderpassError("usage", `${name}: ${resolve(path)} holds no ${what} in PEM.`, { cause });
  }
}
