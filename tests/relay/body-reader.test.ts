import { expect, test } from "bun:test";
import { BodyReader } from "../../relay/ingress/body-reader.ts";
import { Memory } from "../../shared/mux/memory.ts";

/** A body that fills each read with as much as `pieces` says next, and notes how much it could have been. */
function body(pieces: readonly number[], reads: number[]): ReadableStream<Uint8Array> {
  const left = [...pieces];
  return new ReadableStream({
    type: "bytes",
    pull(controller) {
      const request = controller.byobRequest;
      const view = request?.view;
      if (request === null || view === null || view === undefined) throw new Error("no buffer was given");
      reads.push(view.byteLength);
      const size = left.shift();
      if (size === undefined) controller.close();
      request.respond(Math.min(size ?? 0, view.byteLength));
    },
  });
}

async function readAll(pieces: readonly number[], memory: Memory) {
  const reads: number[] = [];
  const reader = new BodyReader(body(pieces, reads), memory);
  const kept: number[] = [];
  for (let bytes = await reader.read(); bytes !== undefined; bytes = await reader.read())
    kept.push(bytes.buffer.byteLength);
  return { reads, kept };
}

const most = Number.POSITIVE_INFINITY;

test("who fills his buffers gets larger ones, and who does not gets small ones again", async () => {
  const memory = new Memory(0);
  const { reads, kept } = await readAll([most, most, most, most, 10, 10, 10], memory);
  expect(reads).toEqual([4_096, 16_384, 65_536, 65_536, 65_536, 16_384, 4_096, 4_096]);
  // Little is kept in little.
  expect(kept).toEqual([4_096, 16_384, 65_536, 65_536, 10, 10, 10]);
  expect([memory.beside.now, memory.beside.most]).toEqual([0, 65_536]);
});

test("buffers are small while memory is scarce", async () => {
  const memory = new Memory(0, { besideBytes: 1_000 });
  memory.beside.add(1_000);
  expect((await readAll([most, most], memory)).reads).toEqual([4_096, 4_096, 4_096]);
});

test("a body that breaks off leaves nothing counted", async () => {
  const memory = new Memory(0);
  const broken = new ReadableStream<Uint8Array>({
    type: "bytes",
    pull: (controller) => controller.error(new Error("gone")),
  });
  await expect(new BodyReader(broken, memory).read()).rejects.toThrow("gone");
  expect([memory.beside.now, memory.beside.most]).toEqual([0, 4_096]);
});
