import { expect, test } from "bun:test";
import { insideRefusal, runInside } from "../netns/inside.ts";
import type { EgressNamesResult } from "../netns/programs/egress-names.ts";
import { installed } from "./programs/installed.ts";
import { relayRuntime } from "./programs/relay.ts";

// It takes a network and a resolver of its own; a relay in workerd asks another one: tests/edge/egress.test.ts.
const isHere = insideRefusal === undefined && installed("curl") !== undefined && relayRuntime !== "workerd";

test.skipIf(!isHere)(
  "names that resolve to what is not public, or change between look-ups, lead nowhere; public ones pass",
  async () => {
    const result = (await runInside("tests/netns/programs/egress-names.ts", {})) as EgressNamesResult;
    expect(result).toEqual({
      notRefused: [],
      rebinding: ["opened", "egress-denied", "opened", "egress-denied", "egress-denied", "opened"],
      opened: {
        "public.example:80": "opened",
        "93.184.215.14:80": "opened",
        "mixed.example:80": "opened",
        "granted.internal:80": "egress-denied",
        "10.0.0.1:80": "egress-denied",
        "198.41.0.4:80": "egress-denied",
        "granted.internal:80 by name": "opened",
      },
      redirect: { exit: 97, out: "1 http://db.internal/" },
      reached: [],
    });
  },
  120_000,
);
