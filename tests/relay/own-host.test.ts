import { expect, test } from "bun:test";
import { Hono } from "hono";
import type { ControlEnv } from "../../relay/app.ts";
import { EventLinks } from "../../relay/event-links.ts";
import { OwnHost } from "../../relay/ingress/own-host.ts";
import type { Reception } from "../../relay/reception.ts";
import type { RequestHead } from "../../shared/http1/head.ts";
import { Memory } from "../../shared/mux/memory.ts";
import { systemClock } from "../../shared/runtimes/system-clock.ts";

const dial: RequestHead = {
  method: "GET",
  target: "/_underpass/links/blue",
  minor: 1,
  fields: [
    ["Host", "relay.test"],
    ["Connection", "Upgrade"],
    ["Upgrade", "websocket"],
    ["Sec-WebSocket-Version", "13"],
    ["Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="],
    ["Sec-WebSocket-Protocol", "underpass.1"],
    ["Authorization", "Bearer a.b.c"],
  ].flat(),
};

test("an agent that leaves while its token is checked leaves nothing behind at the reception", async () => {
  const received: string[] = [];
  const asked = Promise.withResolvers<void>();
  const reception = {
    refused() {},
    admit: async (name: string) => ({ name }),
    receive: () => received.push("a link"),
  } as unknown as Reception;
  const eventLinks = new EventLinks({
    clock: systemClock,
    memory: new Memory(0),
    random: (bytes) => crypto.getRandomValues(bytes),
  });
  const ownHost = new OwnHost(new Hono<ControlEnv>(), reception, systemClock, eventLinks, () => false);
  ownHost.link(dial, dial.target, {
    refused: () => received.push("a refusal"),
    opened: () => {
      asked.resolve();
      return undefined;
    },
  });
  await asked.promise;
  await Promise.resolve();
  expect(received).toEqual([]);
});
