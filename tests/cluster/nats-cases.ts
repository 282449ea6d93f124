import assert from "node:assert/strict";
import { openNats } from "../../relay/runtimes/nats.ts";
import { UnderpassError } from "../../shared/errors.ts";
import { systemClock } from "../../shared/runtimes/system-clock.ts";
import { entryOf, factsOf, Told } from "./nats-ears.ts";
import { impatientClock, isUnreachable, Rig, watchBoard, watchBus, watchNames } from "./nats-rig.ts";

/** Subjects, as docs/cluster.md has them. */
const needed = [
  ...["$JS.API.>", "$JS.FC.>", "_INBOX.>", "underpass.blue-1.>"],
  ...["names", "nodes", "revoked"].map((what) => `$KV.underpass_blue-1_${what}.>`),
];

function permitting(subjects: readonly string[]): string {
  const list = JSON.stringify(subjects);
  return `authorization { users: [{ user: ann, password: geheim, permissions: { publish: ${list}, subscribe: ${list} } }] }`;
}

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
        assert.deepEqual(relay.faults.words, ["registry-unreachable", "works"]);
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
        const door = await rig.door();
        const one = await rig.open({ port: door.port });
        const two = await rig.open();
        const [names, others] = [watchNames(one), watchNames(two)];
        const revision = (await one.registry.claim("blue", entryOf("ann"))) ?? "";
        await Promise.all([names.until("blue ann 1"), others.until("blue ann 1")]);
        const from = names.words.length;
        door.shut(true);
        await names.until("lost");
        await isUnreachable(one.registry.renew("blue", entryOf("ann", 2), revision));
        await assert.rejects(one.bus.flushed());
        const taken = (await two.registry.renew("blue", entryOf("bob", 7), revision)) ?? "";
        await two.registry.claim("red", entryOf("bob"));
        door.shut(false);
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
    name: "whoever is told that names are complete, or that the bus is there, may ask for more at once",
    run: () =>
      Rig.run(async (rig) => {
        const relay = await rig.open();
        const answers: Promise<unknown>[] = [];
        const asked = new Told();
        const ask = (verb: () => Promise<unknown>): void => {
          answers.push(verb());
          asked.say("asked");
        };
        relay.registry.watch?.({
          ...{ begun() {}, changed() {}, lost() {} },
          complete: () => ask(() => relay.registry.lookUp("blue")),
        });
        relay.bus.watch((is) => is && ask(() => relay.bus.flushed()));
        await asked.until("asked");
        await Promise.all(answers);
        await rig.server.stop({ signal: "SIGKILL" });
        await rig.server.start();
        await asked.until("asked", 1);
        await asked.until("asked", 2);
        await Promise.all(answers);
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
          await assert.rejects(rig.open({ user: "ann:50%@" }), /% is written as %25/);
        },
        { configuration: 'authorization { user: ann, password: "geh@eim" }' },
      ),
  },
  {
    name: "what docs/cluster.md says that it needs is enough, for many names too",
    run: () =>
      Rig.run(
        async (rig) => {
          const one = await rig.open({ user: "ann:geheim@" });
          const owner = "ann".repeat(60);
          for (let i = 0; i < 80; i++) {
            await Promise.all(
              Array.from({ length: 100 }, (_, j) => one.registry.claim(`n${i}-${j}`, entryOf(owner))),
            );
          }
          const two = await rig.open({ user: "ann:geheim@" });
          const [names, board] = [watchNames(two), watchBoard(two)];
          await names.until("complete");
          assert.equal(names.found.size, 8_000);
          await one.board.put(factsOf("aaaaaaaa"));
          await board.until("aaaaaaaa ready");
          await one.revoked.put({ owner, untilMs: 1 });
          const heard = new Told();
          two.bus.subscribe("underpass.blue-1.dial.b", () => heard.say("asked"));
          await two.bus.flushed();
          one.bus.publish("underpass.blue-1.dial.b", new Uint8Array(1));
          await heard.until("asked");
          const red = await one.registry.claim("red", entryOf("ann"));
          assert.ok(await one.registry.release("red", red ?? ""));
        },
        { configuration: permitting(needed) },
      ),
  },
];
