import { expect, test } from "bun:test";
import { joinFigures } from "../edge/figures.ts";

test("figures of several tests and runs are joined: the highest number, objects key by key", () => {
  const lines = [
    { name: "bytesBufferedMost", value: 7 },
    { name: "wakeUps", value: { keepalive: 0, requests: 3 } },
    { name: "bytesBufferedMost", value: 9 },
    { name: "bytesBufferedMost", value: 8 },
    { name: "wakeUps", value: { requests: 2, agents: 1 } },
    { name: "workerd", value: "one" },
    { name: "workerd", value: "other" },
  ];
  expect(joinFigures(lines.map((line) => `${JSON.stringify(line)}\n`).join(""))).toEqual({
    bytesBufferedMost: 9,
    wakeUps: { keepalive: 0, requests: 3, agents: 1 },
    workerd: "other",
  });
  expect(joinFigures("")).toEqual({});
});
