import { DurableObject } from "cloudflare:workers";

const key = "revokedUntil";

/** What all objects have to know of one owner: until when his tokens are revoked. Found by `ownerOf`. */
export class OwnerObject extends DurableObject<unknown> {
  async revokedUntil(): Promise<number | undefined> {
    return await this.ctx.storage.get<number>(key);
  }

  async revoke(untilMs: number): Promise<void> {
    await this.ctx.storage.put(key, Math.max(untilMs, (await this.revokedUntil()) ?? 0));
  }
}
