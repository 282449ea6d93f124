import { expect, test } from "bun:test";
import { readProxyLogin } from "../../agent/compose/proxy-login.ts";

const read = (text: string) => readProxyLogin(async () => text, "login.txt");

test("the file of --auth-file is one line, user:password, with or without its end of line", async () => {
  const login = { user: "me", password: "pass:word " };
  for (const end of ["", "\n", "\r\n"]) expect(await read(`me:pass:word ${end}`)).toEqual(login);
});

test.each([
  "",
  "\n",
  "me",
  ":word",
  "me:",
  "me:word\nyou:word",
  "me:word\n\n",
  `${"u".repeat(256)}:word`,
  `me:${"é".repeat(128)}`,
])("%j is none, and the refusal has nothing of it", async (text) => {
  const error: unknown = await read(text).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code: "usage" });
  expect(String(error)).toContain("login.txt");
  expect(String(error)).not.toContain("word\n");
  expect(String(error)).not.toMatch(/word$|uuu|éé/);
});

test("a file that can't be read is bad usage", async () => {
  const gone = readProxyLogin(async () => Promise.reject(new Error("ENOENT")), "gone.txt");
  expect(await gone.catch((reason: unknown) => reason)).toMatchObject({ code: "usage" });
});
