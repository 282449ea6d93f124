import { createHash, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { appendFile, chmod, mkdir, open, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { needed } from "../programs/installed.ts";
import { run } from "../programs/run.ts";

const pieceBytes = 4 * 2 ** 20;
const diffLimitMs = 60_000;
const folderCount = 10;

/** Fills a file with so many MiB that no program can make smaller. */
export async function plantFile(path: string, mebibytes: number): Promise<void> {
  const file = await open(path, "w");
  for (let left = mebibytes * 2 ** 20; left > 0; left -= pieceBytes)
    await file.write(randomBytes(Math.min(left, pieceBytes)));
  await file.close();
}

/** SHA-256 of a file, in hex. */
export async function digest(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const piece of createReadStream(path, { highWaterMark: 2 ** 20 })) hash.update(piece as Buffer);
  return hash.digest("hex");
}

/** A folder like those that people copy: small and large files, empty ones, deep folders, odd names, links, programs. */
export async function plantTree(folder: string, fileCount: number): Promise<void> {
  for (let i = 0; i < folderCount; i++) await mkdir(join(folder, `f${i}/deep/er`), { recursive: true });
  for (let i = 0; i < fileCount; i++) {
    // Most are small, one in a hundred is of a MiB.
    const bytes = i % 100 === 0 ? 2 ** 20 : (i * 37) % 9_000;
    await writeFile(
      join(folder, `f${i % folderCount}`, i % 3 === 0 ? "deep/er" : "", `${i}.bin`),
      randomBytes(bytes),
    );
  }
  await writeFile(join(folder, "Ümläut & 'quotes' %h $x"), "odd");
  await writeFile(join(folder, "run.sh"), "#!/bin/sh\n");
  await chmod(join(folder, "run.sh"), 0o755);
  await symlink("f0/deep", join(folder, "link"));
  await mkdir(join(folder, "empty"));
}

/** What a day's work does to it: some files grow, some are new, a folder goes. */
export async function workOnTree(folder: string): Promise<void> {
  await appendFile(join(folder, "f1/100.bin"), randomBytes(1_000));
  await writeFile(join(folder, "f2/new.bin"), randomBytes(50_000));
  await rm(join(folder, "f3"), { recursive: true });
}

/** What `diff -r` says of two folders; "" when they are the same. */
export async function difference(one: string, other: string): Promise<string> {
  try {
    return (await run([needed("diff"), "-r", "--no-dereference", one, other], { limitMs: diffLimitMs }))
      .stdout;
  } catch (error) {
    return String(error);
  }
}
