import { expect, test } from "bun:test";
import { Crowd } from "../../agent/origins/crowd.ts";

test("nobody is due while nobody has been passed over", () => {
  const crowd = new Crowd();
  expect(crowd.dueMs(0)).toBeUndefined();
  crowd.arrive();
  expect(crowd.dueMs(0)).toBeUndefined();
});

test("a newcomer has 10 ms at an unknown origin, counted from when it was first passed over", () => {
  const crowd = new Crowd();
  crowd.arrive();
  crowd.pass(100);
  crowd.pass(105);
  expect(crowd.dueMs(105)).toBe(110);
});

test("one socket is closed for each newcomer, once", () => {
  const crowd = new Crowd();
  const first = crowd.arrive();
  crowd.arrive();
  crowd.pass(0);
  crowd.relieve(10);
  expect(crowd.dueMs(10)).toBe(0);
  crowd.relieve(10);
  expect(crowd.dueMs(10)).toBeUndefined();
  crowd.pass(11);
  expect(crowd.dueMs(11)).toBeUndefined();
  crowd.leave(first);
  expect(crowd.dueMs(11)).toBeUndefined();
});

test("after a relief the origin is taken for one that serves one socket at a time, for a second", () => {
  const crowd = new Crowd();
  crowd.arrive();
  crowd.pass(0);
  crowd.relieve(10);
  crowd.arrive();
  crowd.pass(20);
  expect(crowd.dueMs(20)).toBe(20);
  expect(crowd.dueMs(1_009)).toBe(20);
  expect(crowd.dueMs(1_010)).toBe(30);
});

test("at an origin that has been seen to serve several, a newcomer waits 250 ms, and then it is unknown again", () => {
  const crowd = new Crowd();
  crowd.concurrent();
  crowd.arrive();
  crowd.arrive();
  crowd.pass(0);
  expect(crowd.dueMs(0)).toBe(250);
  crowd.relieve(250);
  expect(crowd.dueMs(250)).toBe(10);
});

test("who has left is waited for by nobody", () => {
  const crowd = new Crowd();
  const one = crowd.arrive();
  crowd.pass(0);
  crowd.leave(one);
  expect(crowd.dueMs(0)).toBeUndefined();
});
