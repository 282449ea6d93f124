import type { CutPlan, EventPlan, ExchangePlan, LinkPlan, PartyPlan, Plan, StepPlan } from "./plan.ts";
import { SeededRandom } from "./random.ts";

/** What plans may hold. */
export interface PlanShape {
  readonly links: number;
  readonly cuts: boolean;
  /** Restarts, newcomers, drains, stops, stale HELLOs. */
  readonly events: boolean;
}

const megabyte = 1_048_576;

/** A plan from a seed: the same one each time. */
export function makePlan(seed: number, shape: PlanShape): Plan {
  const random = new SeededRandom(seed);
  const links = Array.from({ length: shape.cuts ? shape.links : 0 }, () => makeLink(random));
  const exchanges = makeExchanges(random, shape.links);
  const tight = random.chance(0.07);
  // Each of its own, so that all else stays as it is.
  const sleep = new SeededRandom(seed, 3);
  const sleeps = shape.events && sleep.chance(0.4);
  const scarce = new SeededRandom(seed, 4);
  const events = shape.events ? makeEvents(random, shape.links) : [];
  return {
    ...{ seed, sleeps },
    slots: random.chance(0.3) ? 2 : 1,
    memoryBytes: tight ? 2 * megabyte : random.pick([16 * megabyte, 64 * megabyte]),
    joins: random.chance(0.3),
    tight,
    besideBytes: scarce.chance(0.2) ? scarce.pick([20_000, 200_000]) : Number.POSITIVE_INFINITY,
    resumeWindowMs: random.chance(0.15) ? 4_000 : 60_000,
    links,
    exchanges: sleeps ? [...exchanges, makePatient(shape.links)] : exchanges,
    events: sleeps ? [...events, ...makeEnds(sleep, shape.links)] : events,
    end: random.pick(["bye", "bye", "agent dies", "relay dies", "never back"]),
  };
}

function makeLink(random: SeededRandom): LinkPlan {
  const slow = random.chance(0.3);
  return {
    openMs: random.chance(0.03) ? random.between(500, 9_000) : random.skewed(1, 30),
    ...(random.chance(0.04) && { fails: random.pick(["refused", "unanswered"]) }),
    latencyMs: random.skewed(1, 150) / 2,
    jitterMs: random.chance(0.5) ? random.skewed(1, 40) : 0,
    bytesPerMs: slow ? random.skewed(30, 20_000) : 0,
    bufferBytes: slow ? random.pick([0, 4_096, 65_536]) : 65_536,
    cut: makeCut(random),
  };
}

function makeCut(random: SeededRandom): CutPlan {
  const silent = random.chance(0.12) ? random.pick(["agent", "relay", "both"]) : undefined;
  const [agent, relay] = [makeNotice(random), makeNotice(random)];
  return {
    toward: random.pick(["agent", "relay"]),
    atByte: random.chance(0.12)
      ? random.between(0, 700)
      : random.between(200, random.pick([1_000, 3_000, 10_000, 60_000])),
    afterMs: random.skewed(50, 3_000),
    ...(silent && { silent }),
    flying: random.pick(["lost", "arrives"]),
    noticeMs: { ...(agent !== undefined && { agent }), ...(relay !== undefined && { relay }) },
  };
}

/** At once, soon, late, or never. */
function makeNotice(random: SeededRandom): number | undefined {
  if (random.chance(0.6)) return 0;
  if (random.chance(0.8)) return random.skewed(1, 400);
  return random.chance(0.5) ? random.between(500, 20_000) : undefined;
}

function makeExchanges(random: SeededRandom, links: number): ExchangePlan[] {
  // Now and then many large answers at once, which fill the flight; else all sorts, one after the other.
  const crowds = random.chance(0.1) ? makeCrowds(random, links) : [];
  const count = random.between(Math.ceil(links * 0.5), Math.ceil(links * 1.8));
  const others = Array.from({ length: count }, (_, number) => ({
    afterLinks: Math.floor((number * links) / count),
    delayMs: random.chance(0.5) ? 0 : random.skewed(1, 400),
    headBytes: random.chance(0.05) ? random.between(1_000, 40_000) : random.between(8, 300),
    ...makeTalk(random),
  }));
  return [...crowds, ...others];
}

const crowdSize = 12;

function makeCrowds(random: SeededRandom, links: number): ExchangePlan[] {
  const crowds = Math.ceil(links / 25);
  return Array.from({ length: crowds * crowdSize }, (_, number) => ({
    afterLinks: Math.floor(number / crowdSize) * 25,
    delayMs: 0,
    headBytes: 100,
    relay: { steps: [{ waitMs: 0, do: "end", bytes: 0 }] },
    agent: {
      steps: [
        { waitMs: 0, do: "write", bytes: random.between(50_000, 200_000) },
        { waitMs: 0, do: "end", bytes: 0 },
      ],
      ...makeReads(random),
    },
  }));
}

function makeTalk(random: SeededRandom): { readonly relay: PartyPlan; readonly agent: PartyPlan } {
  const relay: StepPlan[] = [];
  const agent: StepPlan[] = [];
  const step = (to: StepPlan[], what: StepPlan["do"], bytes = 0) =>
    to.push({ waitMs: random.chance(0.6) ? 0 : random.skewed(1, 300), do: what, bytes });
  const body = (to: StepPlan[], chance: number) => {
    if (!random.chance(chance)) return;
    let left = random.skewed(1, random.pick([2_000, 20_000, 150_000]));
    while (left > 0) {
      const size = Math.min(left, random.skewed(1, 30_000));
      step(to, "write", size);
      left -= size;
    }
    if (random.chance(0.1)) step(to, "head", random.between(4, 200));
  };
  const finishes = random.chance(0.05);
  const leaves = !finishes && random.chance(0.2);
  body(relay, 0.5);
  if (random.chance(0.06)) step(relay, "reset");
  step(relay, finishes ? "finish" : "end");
  if (leaves) step(relay, "left");
  if (leaves && random.chance(0.5)) step(agent, "await", 1);
  else if (random.chance(0.3)) step(agent, "await");
  if (random.chance(0.8)) step(agent, "head", random.between(4, 500));
  body(agent, 0.7);
  if (random.chance(0.06)) step(agent, "reset");
  step(agent, random.chance(0.1) ? "finish" : "end");
  return { relay: { steps: relay, ...makeReads(random) }, agent: { steps: agent, ...makeReads(random) } };
}

function makeReads(random: SeededRandom): Pick<PartyPlan, "reads"> {
  if (random.chance(0.7)) return {};
  return { reads: { bytes: random.skewed(1_500, 100_000), everyMs: random.skewed(1, 150) } };
}

function makeEvents(random: SeededRandom, links: number): EventPlan[] {
  const events: EventPlan[] = [];
  const add = (chance: number, make: () => DistributedOmit<EventPlan>) => {
    if (!random.chance(chance)) return;
    const when = { afterLinks: random.between(1, Math.max(1, links)), delayMs: random.skewed(1, 300) };
    events.push({ ...when, ...make() } as EventPlan);
  };
  const side = () => random.pick(["agent", "relay"]);
  for (let round = 0; round < 3; round++) {
    add(0.3, () => ({
      do: "stop",
      side: side(),
      ms: random.skewed(20, 25_000),
      asleep: random.chance(0.5),
      timersFirst: random.chance(0.5),
    }));
    add(0.1, () => ({ do: "jump", side: side(), ms: random.between(-100_000, 100_000) }));
  }
  for (let round = 0; round < 6; round++)
    add(0.5, () => ({
      do: "stale",
      age: random.between(0, 4),
      ...(random.chance(0.5) && { forged: random.pick(["attempt", "received", "slot"]) }),
    }));
  add(0.3, () => ({ do: "renew" }));
  add(0.15, () => ({ do: "restart", downMs: random.skewed(1, 5_000) }));
  add(0.25, () => ({ do: "newcomer", olderDies: random.chance(0.4) }));
  add(0.2, () => ({ do: "drain", graceMs: random.pick([2_000, 30_000]), stops: random.chance(0.6) }));
  add(0.06, () => ({ do: "outage", ms: random.pick([20_000, 90_000]) }));
  return events;
}

/** An exchange whose agent only waits: of all that is open, it alone must ask whether its relay is still there. */
function makePatient(links: number): ExchangePlan {
  const step = (what: StepPlan["do"], bytes: number, waitMs = 0): StepPlan => ({ waitMs, do: what, bytes });
  return {
    ...{ afterLinks: links, delayMs: 0, headBytes: 20 },
    relay: { steps: [step("write", 100), step("end", 0, 5_000)] },
    agent: { steps: [step("await", 0), step("head", 4), step("end", 0)] },
  };
}

/** Ends of the relay's process. After the last, hardly a visitor comes who would wake the next. */
function makeEnds(random: SeededRandom, links: number): EventPlan[] {
  const ends = Array.from({ length: random.between(2, 6) }, () => ({
    ...{ afterLinks: random.between(0, links), delayMs: random.skewed(1, 3_000) },
    ...{ do: "end" as const, atRest: random.chance(0.5) },
  }));
  return [...ends, { afterLinks: links, delayMs: random.between(1, 2_000), do: "end", atRest: false }];
}

/** An event without its time. */
type DistributedOmit<T> = T extends unknown ? Omit<T, "afterLinks" | "delayMs"> : never;
