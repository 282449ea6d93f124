import { expect } from "bun:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { secretFromText } from "../../relay/auth/secret.ts";
import { Tokens } from "../../relay/auth/tokens.ts";
import type { ObjectFigures } from "../../relay/runtimes/object-figures.ts";
import type { Relay } from "../blackbox/programs/relay.ts";

/** Looks in a row that must see the same. */
const looksAlike = 20;

/** What a tunnel's object tells of itself to an operator. */
export class ObjectView {
  private constructor(
    private readonly relay: Relay,
    private readonly token: string,
    private readonly name: string,
  ) {}

  /** Of a relay with a key file. */
  static async of(relay: Relay, name: string): Promise<ObjectView> {
    const tokens = new Tokens(secretFromText(await readFile(join(relay.data, "secret"), "utf8")));
    const grant = { subject: "operator", ttlMs: 3_600_000, admin: true };
    return new ObjectView(relay, await tokens.mint(grant, Date.now()), name);
  }

  async figures(): Promise<ObjectFigures> {
    const headers = { Authorization: `Bearer ${this.token}` };
    const answer = await fetch(`${this.relay.url}/_underpass/objects/${this.name}`, { headers });
    expect(answer.status).toBe(200);
    return answer.json() as Promise<ObjectFigures>;
  }

  /** Resolves when nothing moves: all is full, or empty. */
  async still(): Promise<ObjectFigures> {
    let before = await this.figures();
    for (let same = 0; same < looksAlike; ) {
      const now = await this.figures();
      same = now.heldBytes.now === before.heldBytes.now && now.streams === before.streams ? same + 1 : 0;
      before = now;
    }
    return before;
  }

  /** Resolves when so little is held. */
  async until(holds: (figures: ObjectFigures) => boolean): Promise<ObjectFigures> {
    for (;;) {
      const figures = await this.figures();
      if (holds(figures)) return figures;
    }
  }
}
