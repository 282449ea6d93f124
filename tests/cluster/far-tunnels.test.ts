import { expect, test } from "bun:test";
import { FarTunnels } from "../../relay/far-tunnels.ts";
import type { NameRow } from "../../relay/store.ts";
import { VirtualClock } from "../agent/virtual-clock.ts";

const row: NameRow = { owner: "alice", kind: "http", place: "here", bye: false, lapsesAtMs: 1e9 };

function far({ relays = [] as string[], draining = [] as string[], known = row } = {}) {
  const asked: string[] = [];
  const tunnels = new FarTunnels({
    clock: new VirtualClock(),
    here: { find: () => undefined, expects: () => false, isHog: () => false },
    names: { relaysOf: () => relays, isInDoubt: () => false, looksUp: () => false, get: () => known },
    neighbours: {
      isUp: () => true,
      hop: (relay) => {
        asked.push(relay);
        return undefined;
      },
    },
    isDraining: (relay) => draining.includes(relay),
    metrics: { hopsOut: 0 },
  });
  const open = (): void =>
    void tunnels.find("blue")?.open("http", 1, new Uint8Array(), {} as Parameters<typeof tunnels.open>[2][3]);
  return { tunnels, asked, open };
}

// A visitor who waited was refused in the moment in which his agent came to the relay at which he waited.
test("an agent whose place here is written, and who has no session yet, is expected", () => {
  const { tunnels } = far();
  expect(tunnels.expects("blue", "http", 0)).toBe(true);
  expect(tunnels.expects("blue", "tcp", 0)).toBe(false);
  const away = far({ known: { ...row, place: "away" } });
  expect(away.tunnels.expects("blue", "http", 0)).toBe(false);
});

test("a neighbour that drains is asked only where there is no other", () => {
  const both = far({ relays: ["aaaaaaaa", "bbbbbbbb"], draining: ["aaaaaaaa"] });
  for (let times = 0; times < 4; times++) both.open();
  expect(new Set(both.asked)).toEqual(new Set(["bbbbbbbb"]));
  const alone = far({ relays: ["aaaaaaaa"], draining: ["aaaaaaaa"] });
  alone.open();
  expect(alone.asked).toEqual(["aaaaaaaa"]);
});
