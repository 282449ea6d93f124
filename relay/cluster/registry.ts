import type { Kind } from "../../shared/kind.ts";

/** One agent's process that has a name, and the relays at which it has sessions. */
export interface AgentPlace {
  /** As in HELLO. */
  readonly instance: string;
  /** Higher than that of any agent that came before it, and shared by its sessions at all relays. */
  readonly generation: number;
  /** Ids of relay processes. None: its relay has ended, and it is to come back with the generation that it had. */
  readonly relays: readonly string[];
}

/** What relays that share no file tell each other of a name. Times are dates in ms: no two of them have the same clock. */
export interface NameEntry {
  readonly owner: string;
  readonly kind: Kind;
  /** The public port of a tcp or udp tunnel. */
  readonly port?: number;
  /** At most `maxAgents`. A relay that has ended without a word is still among theirs. */
  readonly agents: readonly AgentPlace[];
  /** The highest that was given to an agent: the fencing token. It never falls. */
  readonly generation: number;
  /** Of the last agent that came without `join`: those before it have lost the name, wherever they are. */
  readonly exclusive: number;
  /** When one of the relays said last that it still has agents of it: for registries in which relays don't tell of themselves. */
  readonly beatAt: number;
  /** When the last agent left; absent while one is there, and before the first came. */
  readonly leftAt?: number;
  /** The agent that left last said goodbye. */
  readonly bye: boolean;
  /** When the name is free again if nothing happens. */
  readonly lapsesAt: number;
}

export const maxAgents = 64;

/**
 * An entry and the state of the store that it stands for: a word of the store's own. Those of one name rise: a later one
 * is longer, or as long and greater as text.
 */
export interface FoundName {
  readonly entry: NameEntry;
  readonly revision: string;
}

/**
 * Where relays agree on names: a store that all of them reach, which takes its time and may fail (then it rejects). Each
 * verb is atomic, and holds only for the state that the caller has read: whoever comes second is told so, and looks again.
 */
export interface Registry {
  /** Makes a name somebody's that nobody has. Like `renew` it is kept until it is released, whatever `lapsesAt` says, where there is `watch`. Returns the revision; undefined: somebody was quicker. */
  claim(name: string, entry: NameEntry): Promise<string | undefined>;
  /** Puts the entry in the place of `revision`. Returns the new one; undefined: another stands there by now, or none. */
  renew(name: string, entry: NameEntry, revision: string): Promise<string | undefined>;
  /** Frees a name that has lapsed. false: another revision stands there by now. */
  release(name: string, revision: string): Promise<boolean>;
  lookUp(name: string): Promise<FoundName | undefined>;
  /** Tells of all names, now and from now on. Absent: it can't, and each is looked up when it is asked for. */
  watch?(watcher: RegistryWatcher): void;
  /** Absent: its relays have no public ports. */
  readonly ports?: PortRegistry;
  close(): void;
}

/**
 * Which name has a public port, kept apart from the entries of names (in a store of keys: `tcp.20000`, which is no name),
 * so that no two names get one: `port` of an entry is written by whoever has claimed the port for the name before, and
 * renews the claim after (`PortClaims`).
 */
export interface PortRegistry {
  /** Makes the port the name's where no name has it. Returns whose it is then. */
  claim(kind: Kind, port: number, name: string): Promise<PortClaim>;
  /** Puts another claim of the same name in the place of this one. false: it is there no more. */
  renew(kind: Kind, port: number, claim: PortClaim): Promise<boolean>;
  /** Frees the port if it is this name's by this very claim; else nothing happens. */
  release(kind: Kind, port: number, claim: PortClaim): Promise<void>;
}

export interface PortClaim {
  readonly name: string;
  /** A word of the store's own, another one for each claim that was ever made or renewed. */
  readonly revision: string;
}

/** Who watches a registry. No call may throw. */
export interface RegistryWatcher {
  /** All names are told anew: at first, and whenever the registry was out of reach, or came back with other contents. */
  begun(): void;
  /** undefined: it is nobody's any more. */
  changed(name: string, found: FoundName | undefined): void;
  /** All that is there has been told since `begun`: what has not been is gone. */
  complete(): void;
  /** It can't be reached, which it tells the operator itself: what was told is what is known, until `begun`. */
  lost(): void;
}
