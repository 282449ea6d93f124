import { describe, expect, test } from "bun:test";
import type { Code } from "../../shared/errors.ts";
import { encodeHead } from "../../shared/head.ts";
import { PassageEnd } from "../../shared/passage-end.ts";
import { pauseAboveBytes } from "../../shared/pipe-ends/socket-end.ts";
import { HoldSetUp } from "../relay/fake-tunnel.ts";
import { turn } from "./driver-bench.ts";

const opening = encodeHead({ visitor: "192.0.2.7:50123" });
const noHead = encodeHead({});

function setUp(room = 1) {
  const all = new HoldSetUp();
  if (room > 0) all.agentComes(room);
  const heard: string[] = [];
  const far = new PassageEnd(all.deps, all.way(), () => void heard.push("opened"));
  far.handler = {
    data: (bytes) => void heard.push(`data ${bytes.length}`),
    drained: (queued) => void heard.push(`drained ${queued}`),
    ended: () => void heard.push("ended"),
    aborted: (code: Code) => void heard.push(`aborted ${code}`),
  };
  return { all, far, heard };
}

describe("a passage as the end of a pipe", () => {
  test("tells that the far end has accepted, then what it says", () => {
    const { all, far, heard } = setUp();
    expect(far.start(opening)).toBeUndefined();
    const { handler } = all.tunnel.last;
    all.tunnel.last.handler.head(noHead);
    handler.data(new Uint8Array(3));
    handler.end();
    expect(heard).toEqual(["opened", "data 3", "ended"]);
  });

  test("breaks a far end that speaks before it has accepted, or accepts twice", () => {
    for (const wrong of ["data", "end", "twice"] as const) {
      const { all, far, heard } = setUp();
      far.start(opening);
      const { handler } = all.tunnel.last;
      if (wrong === "data") handler.data(new Uint8Array(1));
      else if (wrong === "end") handler.end();
      else {
        handler.head(noHead);
        handler.head(noHead);
      }
      expect([heard.at(-1), all.tunnel.last.resetCode]).toEqual(["aborted stream-state", "stream-state"]);
    }
  });

  test("breaks a far end that accepts with what does not belong there", () => {
    for (const fields of [encodeHead({ target: "a:1" }), Uint8Array.of(0x7f, 0, 0)]) {
      const { all, far, heard } = setUp();
      far.start(opening);
      all.tunnel.last.handler.head(fields);
      expect([heard, all.tunnel.last.resetCode]).toEqual([["aborted head-invalid"], "head-invalid"]);
    }
  });

  test("weighs all that waits once it is full, so that a stream at the other end gives no credit for it", () => {
    const { all, far, heard } = setUp();
    all.tunnel.nextHighBytes = 1_000;
    far.start(opening);
    expect(far.write(new Uint8Array(1_000))).toBe(0);
    Object.assign(all.tunnel.last, { queued: 5_000_000 });
    expect(far.write(new Uint8Array(1))).toBe(5_000_000);
    Object.assign(all.tunnel.last, { queued: 2_000 });
    expect(far.write(new Uint8Array(1))).toBe(pauseAboveBytes + 1);
    all.tunnel.last.handler.writable();
    all.tunnel.last.handler.writable();
    expect(heard).toEqual(["drained 0"]);
  });

  test("stops its source while it waits for an agent, and goes on with what came meanwhile", () => {
    const { all, far, heard } = setUp(0);
    expect(far.start(opening)).toBeUndefined();
    expect(far.write(new Uint8Array(10))).toBeGreaterThan(pauseAboveBytes);
    far.end();
    all.agentComes();
    expect([all.tunnel.last.body.length, all.tunnel.last.said, heard]).toEqual([10, ["END"], ["drained 0"]]);
  });

  test("keeps what it may have to say again, and gives away what comes after", () => {
    const { all, far } = setUp();
    far.start(opening);
    const [first, later] = [new Uint8Array(100_000), new Uint8Array(100_000)];
    far.write(first);
    all.tunnel.last.handler.head(noHead);
    far.write(later);
    expect([first.length, later.length, all.tunnel.last.body.length]).toEqual([100_000, 0, 200_000]);
  });

  test("is told when nobody came in time, and is counted among what is open until it is settled", () => {
    const { all, far, heard } = setUp(0);
    far.start(opening);
    all.clock.advance(10_000);
    expect(heard).toEqual(["aborted agent-offline"]);
    const open = setUp();
    open.far.start(opening);
    expect(open.all.metrics.streamsOpen).toBe(1);
    open.far.settle();
    open.far.settle();
    expect(open.all.metrics.streamsOpen).toBe(0);
  });

  test("that broke before anybody heard it tells whoever comes to hear it, but not from inside", async () => {
    const all = new HoldSetUp({ maxHeldBytes: 1_000 });
    const far = new PassageEnd(all.deps, all.way());
    expect(far.start(opening)).toBeUndefined();
    // There is no room for what a visitor has sent already.
    far.write(new Uint8Array(2_000));
    const codes: Code[] = [];
    far.handler = { data() {}, drained() {}, ended() {}, aborted: (code) => void codes.push(code) };
    expect(codes).toEqual([]);
    await turn();
    expect(codes).toEqual(["agent-offline"]);
  });

  test("resets the stream when it is aborted, and hears nothing after", () => {
    const { all, far, heard } = setUp();
    far.start(opening);
    far.abort("cancelled");
    expect([all.tunnel.last.resetCode, heard]).toEqual(["cancelled", []]);
  });
});
