import * as v from "valibot";
import { kinds } from "../../shared/kind.ts";
import type { Revocations } from "../auth/revocations.ts";
import type { FoundName, NameEntry, Registry } from "../cluster/registry.ts";

/** Before all that the relay keeps; the number is that of the form of what stands there. */
const namesPrefix = ["underpass", "names", 2];
const revokedPrefix = ["underpass", "revoked", 1];

const agentShape = v.object({
  instance: v.string(),
  generation: v.number(),
  relays: v.array(v.string()),
});
const entryShape = v.object({
  owner: v.string(),
  kind: v.picklist(kinds),
  port: v.exactOptional(v.number()),
  agents: v.array(agentShape),
  generation: v.number(),
  exclusive: v.number(),
  beatAt: v.number(),
  leftAt: v.exactOptional(v.number()),
  bye: v.boolean(),
  lapsesAt: v.number(),
});

type Key = readonly (string | number)[];

/** What is used of `Deno.Kv`, whose types are there with `--unstable-kv` only. */
interface Kv {
  get(key: Key): Promise<{ readonly value: unknown; readonly versionstamp: string | null }>;
  atomic(): Atomic;
  close(): void;
}

interface Atomic {
  /** Nothing is written where another version stands; null: where any does. */
  check(check: { readonly key: Key; readonly versionstamp: string | null }): Atomic;
  set(key: Key, value: unknown, options?: { readonly expireIn: number }): Atomic;
  delete(key: Key): Atomic;
  commit(): Promise<{ readonly ok: true; readonly versionstamp: string } | { readonly ok: false }>;
}

/** Where the platform has it: on Deno Deploy, once a database is assigned to the app. Rejects where it can't be opened. */
export async function openDenoKv(): Promise<Kv | undefined> {
  const { openKv } = Deno as { readonly openKv?: () => Promise<Kv> };
  return openKv?.();
}

/** Names in Deno KV, which forgets those that have lapsed by itself. */
export class DenoKvRegistry implements Registry {
  readonly #kv: Kv;

  constructor(kv: Kv) {
    this.#kv = kv;
  }

  claim(name: string, entry: NameEntry): Promise<string | undefined> {
    return this.#set(name, entry, null);
  }

  renew(name: string, entry: NameEntry, revision: string): Promise<string | undefined> {
    return this.#set(name, entry, revision);
  }

  async release(name: string, versionstamp: string): Promise<boolean> {
    const key = [...namesPrefix, name];
    return (await this.#kv.atomic().check({ key, versionstamp }).delete(key).commit()).ok;
  }

  async lookUp(name: string): Promise<FoundName | undefined> {
    const { value, versionstamp } = await this.#kv.get([...namesPrefix, name]);
    if (versionstamp === null) return undefined;
    return { entry: v.parse(entryShape, value), revision: versionstamp };
  }

  async #set(name: string, entry: NameEntry, versionstamp: string | null): Promise<string | undefined> {
    const key = [...namesPrefix, name];
    const expireIn = Math.max(1, entry.lapsesAt - Date.now());
    const done = await this.#kv.atomic().check({ key, versionstamp }).set(key, entry, { expireIn }).commit();
    return done.ok ? done.versionstamp : undefined;
  }

  close(): void {
    this.#kv.close();
  }
}

/** Revocations in Deno KV: no process accepts the token, from its next dial on. */
export class DenoKvRevocations implements Revocations {
  readonly #kv: Kv;

  constructor(kv: Kv) {
    this.#kv = kv;
  }

  async revokedUntil(owner: string): Promise<number | undefined> {
    const { value } = await this.#kv.get([...revokedPrefix, owner]);
    return value === null ? undefined : v.parse(v.number(), value);
  }

  async revoke(owner: string, untilMs: number): Promise<void> {
    const key = [...revokedPrefix, owner];
    for (;;) {
      const { value, versionstamp } = await this.#kv.get(key);
      if (value !== null && v.parse(v.number(), value) >= untilMs) return;
      const { ok } = await this.#kv.atomic().check({ key, versionstamp }).set(key, untilMs).commit();
      if (ok) return;
    }
  }

  close(): void {
    this.#kv.close();
  }
}
