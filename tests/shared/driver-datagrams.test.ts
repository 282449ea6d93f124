import { expect, test } from "bun:test";
import { streamKinds } from "../../shared/kind.ts";
import { silentHandler } from "../../shared/mux/stream-handler.ts";
import { ack, Bench, kinds, say, turn } from "./driver-bench.ts";

test("datagrams reach the handler of their stream, and one that takes none is not bothered", () => {
  const bench = new Bench();
  const link = bench.link();
  const got: number[] = [];
  const open = (datagram?: (payload: Uint8Array) => void) =>
    bench.session.open(streamKinds.udp, new Uint8Array(0), {
      ...silentHandler,
      ...(datagram && { datagram }),
    });
  const flows = [open((payload) => got.push(payload.length)), open()];
  while (bench.session.poll(bench.clock.now()) !== undefined);
  for (const flow of flows)
    link.comes(say(ack(1), { record: "DATAGRAM", stream: flow?.id ?? 0, bytes: "000000" }));
  expect(got).toEqual([3]);
  expect(bench.session.over).toBe(false);
});

test("datagrams behind a link that takes nothing grow old, the later ones later", async () => {
  const bench = new Bench();
  const link = bench.link();
  const stream = await bench.open();
  await turn();
  link.messages.length = 0;
  link.queued = 1_000_000;
  for (const number of [1, 2]) {
    stream.datagram(Uint8Array.of(number));
    await turn();
    bench.clock.advance(600);
  }
  link.queued = 0;
  link.handler.drained();
  await turn();
  expect(kinds(link)).toEqual([["DATAGRAM"]]);
  expect(link.messages[0]?.at(-1)).toBe(2);
});
