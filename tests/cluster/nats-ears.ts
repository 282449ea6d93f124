import type { BoardWatcher, NodeFacts } from "../../relay/cluster/board.ts";
import type { FoundName, NameEntry, RegistryWatcher } from "../../relay/cluster/registry.ts";

/** What was told, word by word, and waits for more of it. */
export class Told {
  readonly words: string[] = [];
  #waiting: { readonly met: () => boolean; readonly resolve: () => void }[] = [];

  say(word: string): void {
    this.words.push(word);
    const met = this.#waiting.filter((waiting) => waiting.met());
    this.#waiting = this.#waiting.filter((waiting) => !met.includes(waiting));
    for (const { resolve } of met) resolve();
  }

  /** Resolves once the word was told, after the first `from` words. */
  until(word: string, from = 0): Promise<void> {
    const met = (): boolean => this.words.includes(word, from);
    if (met()) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ met, resolve }));
  }
}

/** `begun`, `NAME OWNER GENERATION`, `NAME free`, `complete`, `lost`. */
export class NamesEar extends Told implements RegistryWatcher {
  readonly found = new Map<string, FoundName>();

  begun(): void {
    this.say("begun");
  }
  changed(name: string, found: FoundName | undefined): void {
    if (found === undefined) this.found.delete(name);
    else this.found.set(name, found);
    this.say(found === undefined ? `${name} free` : `${name} ${found.entry.owner} ${found.entry.generation}`);
  }
  complete(): void {
    this.say("complete");
  }
  lost(): void {
    this.say("lost");
  }
}

/** `ID STATE`, `ID removed`, `reachable`, `unreachable`. */
export class BoardEar extends Told implements BoardWatcher {
  put({ id, state }: NodeFacts): void {
    this.say(`${id} ${state}`);
  }
  removed(id: string): void {
    this.say(`${id} removed`);
  }
  reachable(is: boolean): void {
    this.say(is ? "reachable" : "unreachable");
  }
}

export function entryOf(owner: string, generation = 1): NameEntry {
  return {
    ...{ owner, kind: "http", generation, exclusive: 0, beatAt: 1, bye: false, lapsesAt: 2 },
    agents: [{ instance: "i".repeat(22), generation, relays: ["aaaaaaaa"] }],
  };
}

export function factsOf(id: string, state: NodeFacts["state"] = "ready"): NodeFacts {
  return { ...{ id, state, version: "1", startedAt: 1, tunnels: 0, sessions: 0, hopsIn: 0, hopsOut: 0 } };
}
