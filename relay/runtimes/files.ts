import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { constants, copyFile, link, mkdir, open, readFile, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { UnderpassError } from "../../shared/errors.ts";
import { secretFromText } from "../auth/secret.ts";
import type { SecretSource } from "../options.ts";
import type { LoadedSecret } from "../token.ts";
import { SqliteNames, type SqliteNamesOptions } from "./sqlite-names.ts";
import { SqliteRevocations } from "./sqlite-revocations.ts";

const secretName = "secret";
const namesName = "names.sqlite";
const revocationsName = "revocations.sqlite";

/**
 * The relay's key from the source that was given, or made in the data folder. Bun and Deno. Throws `secret-invalid`
 * when it is too short, `usage` when the --secret-file can't be read, `data-unwritable` when none can be made.
 */
export async function loadSecret(from: SecretSource): Promise<LoadedSecret> {
  if (from.secretText !== undefined) {
    return { secret: secretFromText(from.secretText), source: "UNDERPASS_SECRET" };
  }
  if (from.secretFile !== undefined) {
    const path = resolve(from.secretFile);
    const text = await readFile(path, "utf8").catch((cause: unknown) => {
      throw new UnderpassError("usage", `--secret-file: ${path} can't be read.`, { cause });
    });
    return { secret: secretFromText(text), source: `the key file ${path}` };
  }
  const path = join(resolve(from.data), secretName);
  try {
    await makeDataFolder(from.data);
    const text = (await readIfThere(path)) ?? (await makeSecret(path));
    return { secret: secretFromText(text), source: `the key file ${path}` };
  } catch (cause) {
    if (cause instanceof UnderpassError) throw cause;
    const message = `The data folder ${resolve(from.data)} can't be read or written. Choose another --data.`;
    throw new UnderpassError("data-unwritable", message, { cause });
  }
}

/**
 * The names that are kept in the data folder. Where nothing can be kept: throws `data-unwritable` if the folder was
 * asked for or the key is there too; else, as a relay that has its key from elsewhere needs no folder, returns why.
 */
export async function openNames(
  from: SecretSource & { readonly dataAsked: boolean },
  options: SqliteNamesOptions,
): Promise<SqliteNames | string> {
  const path = join(resolve(from.data), namesName);
  try {
    await makeDataFolder(from.data);
    await makeDatabase(path);
    return new SqliteNames(path, options);
  } catch (cause) {
    const detail = cause instanceof Error ? cause.message : String(cause);
    const message = `Names can't be kept in ${path}: ${detail}.`.replace(/\.\.$/, ".");
    if (!isNeeded(from)) return message;
    throw new UnderpassError("data-unwritable", `${message} Choose another --data.`, { cause });
  }
}

/** The revocations that are kept in the data folder, where names are kept too. Throws `data-unwritable`. */
export async function openRevocations({ data }: SecretSource): Promise<SqliteRevocations> {
  const path = join(resolve(data), revocationsName);
  try {
    await makeDataFolder(data);
    await makeDatabase(path);
    return new SqliteRevocations(path);
  } catch (cause) {
    const detail = cause instanceof Error ? cause.message : String(cause);
    throw new UnderpassError("data-unwritable", `Revocations can't be kept in ${path}: ${detail}`, { cause });
  }
}

/**
 * Those of a relay whose cluster has them too: kept here, they outlive a registry that is lost. undefined: nothing can
 * be written to a folder that nobody has asked for. Rejects with `data-unwritable` otherwise.
 */
export async function openOwnRevocations(
  from: SecretSource & { readonly dataAsked: boolean },
): Promise<SqliteRevocations | undefined> {
  try {
    return await openRevocations(from);
  } catch (error) {
    if (isNeeded(from)) throw error;
    return undefined;
  }
}

/** Where the key comes from elsewhere, a relay needs no folder. */
function isNeeded({
  dataAsked,
  secretText,
  secretFile,
}: SecretSource & { readonly dataAsked: boolean }): boolean {
  return dataAsked || (secretText === undefined && secretFile === undefined);
}

/** Only this user may look into it, and git does not. A folder that was there is left as it is. */
async function makeDataFolder(path: string): Promise<void> {
  const made = await mkdir(path, { recursive: true, mode: 0o700 });
  if (made !== undefined) await writeFile(join(path, ".gitignore"), "*\n", { mode: 0o600 });
}

async function makeSecret(path: string): Promise<string> {
  await makeOnce(path, async (draft) => {
    const file = await open(draft, "r+");
    try {
      await file.writeFile(`${randomBytes(32).toString("base64url")}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
  });
  return readFile(path, "utf8");
}

/**
 * A SQLite file, if there is none, in the mode that all use it in: of several that change it at once SQLite fails all but one,
 * and waits for none. It gives the files beside it the mode of this one.
 */
export async function makeDatabase(path: string): Promise<void> {
  if (existsSync(path)) return;
  await makeOnce(path, async (draft) => {
    const database = new DatabaseSync(draft);
    try {
      database.exec("PRAGMA journal_mode = WAL");
    } finally {
      database.close();
    }
  });
}

/**
 * Two relays may start at once, and one may die in the middle: so a file is made whole beside its place, and then linked
 * there, which fails when another was quicker. Whoever lost uses the winner's.
 */
async function makeOnce(path: string, fill: (draft: string) => Promise<void>): Promise<void> {
  const draft = `${path}.${randomBytes(6).toString("hex")}`;
  await (await open(draft, "wx", 0o600)).close();
  try {
    await fill(draft);
    await link(draft, path);
  } catch (error) {
    if (isCode(error, "EEXIST")) return;
    // A file system without hard links: then the first start is not to be two at once.
    if (!isCode(error, "EPERM") && !isCode(error, "ENOTSUP")) throw error;
    await copyFile(draft, path, constants.COPYFILE_EXCL);
  } finally {
    await rm(draft, { force: true });
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (isCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

/** A file that a switch names. Throws `usage` when it can't be read. */
export async function readText(path: string): Promise<string> {
  return readFile(path, "utf8").catch((cause: unknown) => {
    throw new UnderpassError("usage", `${resolve(path)} can't be read.`, { cause });
  });
}
