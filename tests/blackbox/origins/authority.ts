import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { installed } from "../programs/installed.ts";
import { Program } from "../programs/program.ts";

/** A certificate and its key, as PEM files and as their texts. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
  readonly certText: string;
  readonly keyText: string;
}

/** A certificate authority that nobody trusts but who is told to: for origins with names of their own, and for visitors. */
export class Authority {
  private constructor(
    private readonly openssl: string,
    private readonly folder: string,
    readonly own: Certificate,
  ) {}

  static async make(): Promise<Authority> {
    const openssl = installed("openssl");
    if (openssl === undefined) throw new Error("openssl is not installed");
    const folder = await mkdtemp(join(tmpdir(), "underpass-authority-"));
    const [cert, key] = [join(folder, "ca.pem"), join(folder, "ca.key")];
    await run([
      ...[openssl, "req", "-x509", ...newKey, "-days", "2", "-subj", "/CN=test authority"],
      ...["-keyout", key, "-out", cert],
    ]);
    return new Authority(openssl, folder, await read(cert, key));
  }

  /** For an origin under this DNS name; without one, for a visitor called `subject`. */
  async issue(subject: string, options: { readonly dns?: string } = {}): Promise<Certificate> {
    const path = (end: string) => join(this.folder, `${subject}.${end}`);
    const usage = options.dns === undefined ? "clientAuth" : `serverAuth\nsubjectAltName=DNS:${options.dns}`;
    await writeFile(path("ext"), `extendedKeyUsage=${usage}\n`);
    await run([
      ...[this.openssl, "req", ...newKey, "-subj", `/CN=${subject}`],
      ...["-keyout", path("key"), "-out", path("csr")],
    ]);
    await run([
      ...[this.openssl, "x509", "-req", "-in", path("csr"), "-days", "2", "-CAcreateserial"],
      ...["-CA", this.own.cert, "-CAkey", this.own.key, "-extfile", path("ext"), "-out", path("pem")],
    ]);
    return read(path("pem"), path("key"));
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}

const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

async function run(command: readonly string[]): Promise<void> {
  const program = new Program(command);
  if ((await program.exit()) !== 0) throw new Error(program.describe());
}

async function read(cert: string, key: string): Promise<Certificate> {
  return { cert, key, certText: await readFile(cert, "utf8"), keyText: await readFile(key, "utf8") };
}
