import assert from "node:assert/strict";
import { type Nats, openNats } from "../../relay/runtimes/nats.ts";
import type { Clock } from "../../shared/clock.ts";
import { UnderpassError } from "../../shared/errors.ts";
import { systemClock } from "../../shared/runtimes/system-clock.ts";
import { Cut } from "./nats-cut.ts";
import { BoardEar, entryOf, factsOf, NamesEar, Told } from "./nats-ears.ts";
import { NatsServer, type NatsServerOptions } from "./nats-server.ts";

/** What a case has: a nats-server of its own, and relays that come to it. */
class Rig {
  readonly #ends: (() => Promise<void> | void)[] = [];

  private constructor(readonly server: NatsServer) {}

  static async run(run: (rig: Rig) => Promise<void>, options: NatsServerOptions = {}): Promise<void> {
    const rig = new Rig(await NatsServer.start(options));
    try {
      await run(rig);
    } finally {
      for (const end of rig.#ends) await end();
      await rig.server.close();
    }
  }

  async open({
    port = this.server.port,
    clock = systemClock,
    user = "",
  }: {
    port?: number;
    clock?: Clock;
    user?: string;
  } = {}): Promise<Nats & { readonly faults: Told }> {
    const faults = new Told();
    const nats = await openNats({
      ...{ urls: `nats://${user}127.0.0.1:${port}`, cluster: "blue-1", clock },
      fault: ({ code }) => faults.say(code),
    });
    this.#ends.push(() => nats.close());
    return { ...nats, faults };
  }

  async cut(): Promise<Cut> {
    const cut = await Cut.before(this.server.port);
    this.#ends.push(() => cut.close());
    return cut;
  }
}

function watchNames({ registry }: Nats): NamesEar {
  const ear = new NamesEar();
  registry.watch?.(ear);
  return ear;
}

function watchBoard({ board }: Nats): BoardEar {
  const ear = new BoardEar();
  board.watch(ear);
  return ear;
}

function watchBus({ bus }: Nats): Told {
  const told = new Told();
  bus.watch((is) => told.say(is ? "reachable" : "unreachable"));
  return told;
}

/** Rejects with `registry-unreachable`, and within 5 s. */
async function isUnreachable(verb: Promise<unknown>): Promise<void> {
  const beganMs = performance.now();
  await assert.rejects(
    verb,
    (error) => error instanceof UnderpassError && error.code === "registry-unreachable",
  );
  assert.ok(performance.now() - beganMs < 5_000);
}

/** Only what is far away comes at once. */
const impatientClock: Clock = {
  ...systemClock,
  at: (atMs, run) => systemClock.at(atMs - systemClock.now() > 30_000 ? 0 : atMs, run),
};

export const natsCases: readonly { readonly name: string; run(): Promise<void> }[] = [
  {
    name: "a verb holds only for the state that was read",
    run: () =>
      Rig.run(async (rig) => {
        const { registry } = await rig.open();
        assert.equal(await registry.lookUp("blue"), undefined);
        const first = await registry.claim("blue", entryOf("ann"));
        assert.ok(first);
        assert.equal(await registry.claim("blue", entryOf("bob")), undefined);
        const second = await registry.renew("blue", entryOf("ann", 2), first);
        assert.ok(second);
        assert.notEqual(second, first);
        assert.equal(await registry.renew("blue", entryOf("bob", 3), first), undefined);
        assert.equal(await registry.release("blue", first), false);
        assert.deepEqual(await registry.lookUp("blue"), { entry: entryOf("ann", 2), revision: second });
        assert.equal(await registry.release("blue", second), true);
        assert.equal(await registry.release("blue", second), false);
        assert.equal(await registry.renew("blue", entryOf("ann", 3), second), undefined);
        assert.equal(await registry.lookUp("blue"), undefined);
        assert.ok(await registry.claim("blue", entryOf("bob")));
      }),
  },
  {
    name: "of many that claim a name at once, and then renew it, one gets it",
    run: () =>
      Rig.run(async (rig) => {
        const relays = await Promise.all([rig.open(), rig.open(), rig.open()]);
        const claims = await Promise.all(
          Array.from({ length: 30 }, (_, i) => relays[i % 3]?.registry.claim("blue", entryOf(`owner-${i}`))),
        );
        const [revision, ...others] = claims.filter((claim) => claim !== undefined);
        assert.ok(revision);
        assert.deepEqual(others, []);
        const renewals = await Promise.all(
          Array.from({ length: 30 }, (_, i) =>
            relays[i % 3]?.registry.renew("blue", entryOf("ann", i), revision),
          ),
        );
        assert.equal(renewals.filter((renewal) => renewal !== undefined).length, 1);
      }),
  },
  {
    name: "all names are told, then what changes, to every relay",
    run: () =>
      Rig.run(async (rig) => {
        const one = await rig.open();
        await one.registry.claim("red", entryOf("ann"));
        const blue = await one.registry.claim("blue", entryOf("ann"));
        await one.registry.release("blue", blue ?? "");
        const two = await rig.open();
        const names = watchNames(two);
        await names.until("complete");
        assert.deepEqual(names.words, ["begun", "red ann 1", "blue free", "complete"]);
        const red = names.found.get("red");
        assert.ok(await one.registry.renew("red", entryOf("ann", 2), red?.revision ?? ""));
        await names.until("red ann 2");
        await one.registry.release("red", names.found.get("red")?.revision ?? "");
        await names.until("red free");
        assert.deepEqual(names.words.slice(4), ["red ann 2", "red free"]);
      }),
  },
  {
    name: "an empty registry is told to be complete",
    run: () =>
      Rig.run(async (rig) => {
        const names = watchNames(await rig.open());
        await names.until("complete");
        assert.deepEqual(names.words, ["begun", "complete"]);
      }),
  },
  {
    name: "5,000 names are told completely",
    run: () =>
      Rig.run(async (rig) => {
        const one = await rig.open();
        for (let i = 0; i < 50; i++) {
          await Promise.all(
            Array.from({ length: 100 }, (_, j) => one.registry.claim(`n${i}-${j}`, entryOf("ann"))),
          );
        }
        const names = watchNames(await rig.open());
        await names.until("complete");
        assert.equal(names.words.length, 5_002);
        assert.equal(names.found.size, 5_000);
      }),
  },
  {
    name: "the marker of a name that was released is taken away, and a later claim stays",
    run: () =>
      Rig.run(async (rig) => {
        const relay = await rig.open({ clock: impatientClock });
        const names = watchNames(relay);
        const { registry } = relay;
        for (const name of ["red", "blue"]) {
          await registry.release(name, (await registry.claim(name, entryOf("ann"))) ?? "");
        }
        const blue = await registry.claim("blue", entryOf("bob"));
        await names.until("blue bob 1");
        for (;;) {
          const later = watchNames(await rig.open());
          await later.until("complete");
          if (!later.words.includes("red free")) {
            assert.deepEqual(later.words, ["begun", "blue bob 1", "complete"]);
            break;
          }
        }
        assert.equal((await registry.lookUp("blue"))?.revision, blue);
        assert.ok(await registry.claim("red", entryOf("ann")));
      }),
  },
  {
    name: "what is claimed while markers of others are taken away is told to every relay",
    run: () =>
      Rig.run(async (rig) => {
        const [sweeper, other] = [await rig.open({ clock: impatientClock }), await rig.open()];
        const ears = [watchNames(sweeper), watchNames(other)];
        await Promise.all(ears.map((ear) => ear.until("complete")));
        const { registry } = other;
        for (let i = 0; i < 500; i += 20) {
          const numbers = Array.from({ length: 20 }, (_, j) => i + j);
          await Promise.all(
            numbers.map(async (n) => {
              const revision = await registry.claim(`short-${n}`, entryOf("ann"));
              await registry.release(`short-${n}`, revision ?? "");
              assert.ok(await registry.claim(`long-${n}`, entryOf("ann")));
            }),
          );
        }
        for (let n = 0; n < 500; n++) await Promise.all(ears.map((ear) => ear.until(`long-${n} ann 1`)));
      }),
  },
  {
    name: "restarted with what it had: lost, then all is told anew, and revisions still hold",
    run: () =>
      Rig.run(async (rig) => {
        const relay = await rig.open();
        const names = watchNames(relay);
        const bus = watchBus(relay);
        const revision = await relay.registry.claim("blue", entryOf("ann"));
        await names.until("blue ann 1");
        const from = names.words.length;
        await rig.server.stop({ signal: "SIGKILL" });
        await names.until("lost", from);
        await isUnreachable(relay.registry.lookUp("blue"));
        await rig.server.start();
        await names.until("complete", from);
        await bus.until("reachable");
        assert.deepEqual(names.words.slice(from), ["lost", "begun", "blue ann 1", "complete"]);
        assert.deepEqual(bus.words, ["unreachable", "reachable"]);
        assert.ok(await relay.registry.renew("blue", entryOf("ann", 2), revision ?? ""));
        assert.deepEqual(relay.faults.words, ["registry-unreachable"]);
      }),
  },
  {
    name: "restarted empty: nothing is there, and no revision of before holds, though numbers begin again",
    run: () =>
      Rig.run(async (rig) => {
        const relay = await rig.open();
        const names = watchNames(relay);
        const before = await relay.registry.claim("blue", entryOf("ann"));
        await names.until("blue ann 1");
        const from = names.words.length;
        await rig.server.stop({ emptied: true });
        await rig.server.start();
        await names.until("complete", from);
        assert.deepEqual(names.words.slice(from), ["lost", "begun", "complete"]);
        const other = await rig.open();
        const after = await other.registry.claim("blue", entryOf("bob"));
        assert.equal(before?.split(" ")[1], after?.split(" ")[1]);
        assert.equal(await relay.registry.renew("blue", entryOf("ann", 2), before ?? ""), undefined);
        assert.equal(await relay.registry.release("blue", before ?? ""), false);
        assert.equal((await relay.registry.lookUp("blue"))?.entry.owner, "bob");
      }),
  },
  {
    name: "a server that stands still is noticed within 2.5 s, and what is asked of it rejects",
    run: () =>
      Rig.run(async (rig) => {
        const relay = await rig.open();
        const names = watchNames(relay);
        const board = watchBoard(relay);
        const bus = watchBus(relay);
        await Promise.all([names.until("complete"), board.until("reachable")]);
        const from = names.words.length;
        await rig.server.pause();
        const beganMs = performance.now();
        const claim = isUnreachable(relay.registry.claim("blue", entryOf("ann")));
        await Promise.all([names.until("lost"), board.until("unreachable"), bus.until("unreachable")]);
        assert.ok(performance.now() - beganMs < 2_500);
        await claim;
        rig.server.resume();
        await Promise.all([
          names.until("complete", from),
          bus.until("reachable"),
          board.until("reachable", 2),
        ]);
        // The claim may have been taken in before it stood still; what the registry says now is what holds.
        const found = await relay.registry.lookUp("blue");
        assert.equal(names.found.get("blue")?.revision, found?.revision);
      }),
  },
  {
    name: "a relay that is cut off alone notices, and finds what others have done meanwhile",
    run: () =>
      Rig.run(async (rig) => {
        const cut = await rig.cut();
        const one = await rig.open({ port: cut.port });
        const two = await rig.open();
        const [names, others] = [watchNames(one), watchNames(two)];
        const revision = (await one.registry.claim("blue", entryOf("ann"))) ?? "";
        await Promise.all([names.until("blue ann 1"), others.until("blue ann 1")]);
        const from = names.words.length;
        cut.cut(true);
        await names.until("lost");
        await isUnreachable(one.registry.renew("blue", entryOf("ann", 2), revision));
        await assert.rejects(one.bus.flushed());
        const taken = (await two.registry.renew("blue", entryOf("bob", 7), revision)) ?? "";
        await two.registry.claim("red", entryOf("bob"));
        cut.cut(false);
        await names.until("complete", from);
        assert.deepEqual(names.words.slice(from), ["lost", "begun", "blue bob 7", "red bob 1", "complete"]);
        assert.equal(await one.registry.renew("blue", entryOf("ann", 2), revision), undefined);
        assert.ok(await one.registry.renew("blue", entryOf("ann", 8), taken));
        assert.equal(others.words.includes("lost"), false);
      }),
  },
  {
    name: "what nodes put up is told, and what is removed",
    run: () =>
      Rig.run(async (rig) => {
        const [one, two] = await Promise.all([rig.open(), rig.open()]);
        await one.board.put(factsOf("aaaaaaaa"));
        const board = watchBoard(two);
        await board.until("aaaaaaaa ready");
        await one.board.put(factsOf("aaaaaaaa", "draining"));
        await board.until("aaaaaaaa draining");
        await one.board.remove("aaaaaaaa");
        await board.until("aaaaaaaa removed");
        assert.deepEqual(board.words, [
          ...["reachable", "aaaaaaaa ready", "aaaaaaaa draining", "aaaaaaaa removed"],
        ]);
      }),
  },
  {
    name: "the bus answers, says that nobody hears, and hears again what it heard before it broke",
    run: () =>
      Rig.run(async (rig) => {
        const [one, two] = await Promise.all([rig.open(), rig.open()]);
        const told = [watchBus(one), watchBus(two)];
        const heard = new Told();
        const stop = two.bus.subscribe("blue.question", (message) => {
          heard.say(new TextDecoder().decode(message.bytes));
          message.answer(new TextEncoder().encode("yes"));
        });
        await two.bus.flushed();
        const ask = async (): Promise<string> =>
          new TextDecoder().decode(
            await one.bus.request("blue.question", new TextEncoder().encode("really?"), 2_000),
          );
        assert.equal(await ask(), "yes");
        await rig.server.stop({ signal: "SIGKILL" });
        await Promise.all(told.map((ear) => ear.until("unreachable")));
        one.bus.publish("blue.question", new TextEncoder().encode("lost"));
        await rig.server.start();
        await Promise.all(told.map((ear) => ear.until("reachable")));
        assert.equal(await ask(), "yes");
        stop();
        await two.bus.flushed();
        await assert.rejects(ask());
        assert.deepEqual(heard.words, ["really?", "really?"]);
      }),
  },
  {
    name: "where nobody is at its start, it says where, and no secret",
    run: () =>
      Rig.run(async (rig) => {
        await rig.server.stop();
        await assert.rejects(rig.open({ user: "ann:geheim@" }), (error) => {
          assert.ok(error instanceof UnderpassError);
          assert.equal(error.code, "registry-unreachable");
          assert.match(error.message, new RegExp(`127\\.0\\.0\\.1:${rig.server.port} .*refused`));
          assert.doesNotMatch(error.message, /ann|geheim/);
          return true;
        });
      }),
  },
  {
    name: "where TLS is asked for, a server that offers none is refused",
    run: () =>
      Rig.run((rig) =>
        assert.rejects(
          openNats({
            ...{ urls: `tls://127.0.0.1:${rig.server.port}`, cluster: "blue-1", clock: systemClock },
            fault: () => {},
          }),
          /it offers no TLS/,
        ),
      ),
  },
  {
    name: "user and password are those of the URL, and what is wrong with them is said",
    run: () =>
      Rig.run(
        async (rig) => {
          const { registry } = await rig.open({ user: "ann:geh%40eim@" });
          assert.ok(await registry.claim("blue", entryOf("ann")));
          await assert.rejects(rig.open({ user: "ann:wrong@" }), /does not accept the user/);
        },
        { configuration: 'authorization { user: ann, password: "geh@eim" }' },
      ),
  },
];
