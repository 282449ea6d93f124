import { UnderpassError } from "../../shared/errors.ts";
import type { Kind } from "../../shared/kind.ts";
import { type AgentPlace, maxAgents, type NameEntry } from "./registry.ts";

/** What becomes of entries, as pure functions: a write that another relay was quicker than is done again on what that wrote. */

/** An agent that comes to a relay, as HELLO tells of it. */
export interface ArrivingAgent {
  readonly name: string;
  readonly owner: string;
  readonly kind: Kind;
  readonly instance: string;
  /** It shares the name with those that are there. */
  readonly join: boolean;
}

/** With its first session at this relay, or at all. */
export interface Arrival extends ArrivingAgent {
  readonly relay: string;
  /** The generation that it had until a moment ago, where it is not among the agents any more. */
  readonly remembered: number | undefined;
  readonly isAlive: (relay: string) => boolean;
  /** Dates: of now, and when the name lapses if no more is heard of it. */
  readonly nowAt: number;
  readonly lapsesAt: number;
}

/**
 * The entry with the agent in it; `entry` is that of a name that has not lapsed, `before` also of one that has. One who is
 * known keeps its generation. A new one without `join` has the name alone. Relays that are dead go. Throws `name-taken`,
 * `superseded`, `kind-forbidden` or `too-many-links`.
 */
export function arrive(
  entry: NameEntry | undefined,
  before: NameEntry | undefined,
  arrival: Arrival,
): NameEntry {
  const { relay, owner, kind, instance, join, remembered, isAlive, nowAt, lapsesAt } = arrival;
  if (entry !== undefined && entry.owner !== owner) throw new UnderpassError("name-taken");
  const { generation = 0, exclusive = 0 } = before ?? {};
  const agents = (entry?.agents ?? []).map((place) => withRelays(place, place.relays.filter(isAlive)));
  const known = agents.find((place) => place.instance === instance);
  const isHeld = agents.some((place) => place.relays.length > 0);
  if (known === undefined && remembered !== undefined && remembered < exclusive && isHeld)
    throw new UnderpassError("superseded");
  if (isHeld && join && entry?.kind !== kind) throw new UnderpassError("kind-forbidden");
  // One that left a moment ago must not take over from those who have joined meanwhile.
  const isBack =
    remembered !== undefined &&
    remembered >= exclusive &&
    !agents.some((place) => place.generation === remembered);
  const own = known?.generation ?? (isBack ? remembered : generation + 1);
  const takesOver = known === undefined && !isBack && !join;
  const others = takesOver ? [] : agents.filter((place) => place !== known);
  const relays = known?.relays.includes(relay) ? known.relays : [...(known?.relays ?? []), relay];
  return {
    ...whose(entry, owner, kind),
    agents: [...withRoom(others), { instance, generation: own, relays }],
    generation: Math.max(generation, own),
    exclusive: takesOver ? own : exclusive,
    beatAt: nowAt,
    bye: false,
    lapsesAt,
  };
}

/** An agent that leaves a relay; all that are there, where `instance` is absent. */
export interface Departure {
  readonly relay: string;
  readonly instance?: string;
  /** It is not expected back. */
  readonly bye: boolean;
  /** The relay ends, and not the agent: wherever it comes next, it is the one that it was. */
  readonly keepsPlace: boolean;
  readonly leftAt: number;
  readonly lapsesAt: number;
}

export function depart(entry: NameEntry, departure: Departure): NameEntry {
  const { relay, instance, bye, keepsPlace, leftAt, lapsesAt } = departure;
  const leaves = (place: AgentPlace) =>
    (instance === undefined || place.instance === instance) && place.relays.includes(relay);
  if (!entry.agents.some(leaves)) return entry;
  const agents = entry.agents
    .map((place) => (leaves(place) ? withoutRelay(place, relay) : place))
    .filter((place, i) => place.relays.length > 0 || keepsPlace || place === entry.agents[i]);
  return hasRelays(agents) ? { ...entry, agents } : { ...entry, agents, bye, leftAt, lapsesAt };
}

/** All relays at which the name has agents are dead, since `leftAt`. */
export function bury(entry: NameEntry, times: Pick<Departure, "leftAt" | "lapsesAt">): NameEntry {
  return { ...entry, ...times, agents: entry.agents.map((place) => withRelays(place, [])), bye: false };
}

/** What `relay` has, written into what is found instead of what it knew: of its own agents those that have not lost the name. */
export function restate(ours: NameEntry, found: NameEntry | undefined, relay: string): NameEntry {
  if (found === undefined) return ours;
  if (found.owner !== ours.owner) return found;
  const exclusive = Math.max(found.exclusive, ours.exclusive);
  const others = found.agents.flatMap((place) => {
    const rest = withoutRelay(place, relay);
    const isGone = place.generation < exclusive || (rest !== place && rest.relays.length === 0);
    return isGone ? [] : [rest];
  });
  const agents = new Map(others.map((place) => [place.instance, place]));
  for (const { instance, generation, relays } of ours.agents) {
    if (!relays.includes(relay) || generation < exclusive) continue;
    const there = agents.get(instance);
    const agreed = generationIn({ agents: others, exclusive }, { instance, generation });
    if (agreed === undefined) continue;
    if (there === undefined && agents.size >= maxAgents && !makesRoom(agents)) continue;
    const at = there?.relays ?? [];
    const now = at.includes(relay) ? at : [...at, relay];
    agents.set(instance, { instance, generation: agreed, relays: now });
  }
  const newer = ours.generation >= found.generation ? ours : found;
  const { leftAt, bye, lapsesAt } = (ours.leftAt ?? 0) > (found.leftAt ?? 0) ? ours : found;
  const places = [...agents.values()];
  const isLeft = leftAt !== undefined && !hasRelays(places);
  return {
    ...whose(newer, newer.owner, newer.kind),
    agents: places,
    generation: Math.max(ours.generation, found.generation, ...places.map(({ generation }) => generation)),
    exclusive,
    beatAt: Math.max(ours.beatAt, found.beatAt),
    ...(isLeft && { leftAt }),
    bye: isLeft && bye,
    lapsesAt,
  };
}

/**
 * What the generation of an agent is that has sessions somewhere, beside what an entry says: the higher of both, but of
 * two agents that were given the same the one that was written first has it. undefined: it has lost the name.
 */
export function generationIn(
  { agents, exclusive }: Pick<NameEntry, "agents" | "exclusive">,
  { instance, generation }: Pick<AgentPlace, "instance" | "generation">,
): number | undefined {
  const place = agents.find((agent) => agent.instance === instance);
  const isTaken = agents.some((agent) => agent !== place && agent.generation === generation);
  const own = isTaken ? place?.generation : Math.max(generation, place?.generation ?? 0);
  return own !== undefined && own >= exclusive ? own : undefined;
}

/** An agent with sessions at this relay. */
export interface HereAgent {
  readonly instance: string;
  readonly owner: string;
  readonly generation: number;
}

/**
 * The entry of a name that was freed and taken anew, for those who are here since before: whoever took it alone came after
 * them, though its generation is lower.
 */
export function retaken(before: NameEntry, after: NameEntry, here: readonly HereAgent[]): NameEntry {
  const isBack = after.agents.some(({ instance }) => here.some((agent) => agent.instance === instance));
  return isBack || after.exclusive === 0 ? after : { ...after, exclusive: before.generation + 1 };
}

/** What is at `relay` and not as the entry says it. */
export function differences(
  entry: NameEntry,
  agents: readonly HereAgent[],
  relay: string,
): {
  /** Some of them have lost the name, or another generation. */
  readonly isFenced: boolean;
  /** To be said. */
  readonly missing: readonly AgentPlace[];
  /** Instances that are said to be there and are not. */
  readonly said: readonly string[];
} {
  const missing: AgentPlace[] = [];
  let isFenced = false;
  for (const agent of agents) {
    const { instance } = agent;
    const generation = agent.owner === entry.owner ? generationIn(entry, agent) : undefined;
    if (generation !== agent.generation) isFenced = true;
    if (generation === undefined) continue;
    const place = entry.agents.find((other) => other.instance === instance);
    if (place?.generation !== generation || !place.relays.includes(relay))
      missing.push({ instance, generation, relays: [relay] });
  }
  const said = agentsAt(entry, relay)
    .map(({ instance }) => instance)
    .filter((instance) => !agents.some((agent) => agent.instance === instance));
  // Of more than an entry holds, the rest is known at this relay alone.
  const isFull = isSame(rejoin(entry, missing, relay), entry);
  return { isFenced, missing: isFull ? [] : missing, said };
}

/** Puts back agents of `relay` that are not there, or with a lower generation, unless they have lost the name. */
export function rejoin(entry: NameEntry, missing: readonly AgentPlace[], relay: string): NameEntry {
  const here = agentsAt(entry, relay).filter(
    (place) => !missing.some(({ instance }) => instance === place.instance),
  );
  return restate({ ...entry, agents: [...here, ...missing] }, entry, relay);
}

/** What this relay knew may not be the last that was given before the registry lost it: so many generations are left out. */
const lostGenerations = 1_000;

/** As `restate`, for a registry that has lost the name: whoever took it since then did so with a lower generation. */
export function reclaim(ours: NameEntry, found: NameEntry | undefined, relay: string): NameEntry {
  const isThiefs = found !== undefined && found.owner !== ours.owner && found.generation < ours.generation;
  if (found !== undefined && !isThiefs) return restate(ours, found, relay);
  return { ...ours, generation: ours.generation + lostGenerations };
}

export function withoutPort({ port: _, ...entry }: NameEntry): NameEntry {
  return entry;
}

/** The agents that have sessions at this relay. */
export function agentsAt(entry: NameEntry | undefined, relay: string): readonly AgentPlace[] {
  return entry?.agents.filter(({ relays }) => relays.includes(relay)) ?? [];
}

export function hasRelays(agents: readonly AgentPlace[]): boolean {
  return agents.some(({ relays }) => relays.length > 0);
}

export function isSame(one: NameEntry | undefined, other: NameEntry | undefined): boolean {
  if (one === other) return true;
  if (one === undefined || other === undefined) return false;
  return (
    one.owner === other.owner &&
    one.kind === other.kind &&
    one.port === other.port &&
    one.generation === other.generation &&
    one.exclusive === other.exclusive &&
    one.beatAt === other.beatAt &&
    one.leftAt === other.leftAt &&
    one.bye === other.bye &&
    one.lapsesAt === other.lapsesAt &&
    hasSameAgents(one.agents, other.agents)
  );
}

function hasSameAgents(some: readonly AgentPlace[], others: readonly AgentPlace[]): boolean {
  return (
    some === others ||
    (some.length === others.length &&
      some.every(({ instance, generation, relays }, i) => {
        const other = others[i];
        return (
          other?.instance === instance &&
          other.generation === generation &&
          other.relays.length === relays.length &&
          relays.every((relay) => other.relays.includes(relay))
        );
      }))
  );
}

/** Which of two revisions of a name is later. */
export function isLater(one: string, other: string): boolean {
  return one.length === other.length ? one > other : one.length > other.length;
}

/** A public port belongs to a name of its own kind. */
function whose(
  entry: NameEntry | undefined,
  owner: string,
  kind: Kind,
): Pick<NameEntry, "owner" | "kind" | "port"> {
  const port = entry?.kind === kind ? entry.port : undefined;
  return { owner, kind, ...(port !== undefined && { port }) };
}

/** With room for one more: those that are to come back first make it. */
function withRoom(agents: readonly AgentPlace[]): readonly AgentPlace[] {
  if (agents.length < maxAgents) return agents;
  const here = agents.filter(({ relays }) => relays.length > 0);
  if (here.length >= maxAgents)
    throw new UnderpassError("too-many-links", `At most ${maxAgents} agents share a name.`);
  return here;
}

/** One that is to come back goes. false: there is none. Above `maxAgents` an entry could be read by nobody. */
function makesRoom(agents: Map<string, AgentPlace>): boolean {
  for (const { instance, relays } of agents.values()) if (relays.length === 0) return agents.delete(instance);
  return false;
}

function withoutRelay(place: AgentPlace, relay: string): AgentPlace {
  return place.relays.includes(relay)
    ? withRelays(
        place,
        place.relays.filter((other) => other !== relay),
      )
    : place;
}

function withRelays(place: AgentPlace, relays: readonly string[]): AgentPlace {
  return relays.length === place.relays.length ? place : { ...place, relays };
}
