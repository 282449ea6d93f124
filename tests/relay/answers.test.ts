import { describe, expect, test } from "bun:test";
import { type Answer, answer } from "../../relay/answers.ts";
import { type Code, codes } from "../../shared/errors.ts";

const textOf = (from: Answer) => new TextDecoder().decode(from.body);

function field(from: Answer, name: string): string | undefined {
  const at = from.fields.findIndex((known, i) => i % 2 === 0 && known.toLowerCase() === name.toLowerCase());
  return at < 0 ? undefined : from.fields[at + 1];
}

const html = "text/html; charset=utf-8";
const json = "application/problem+json";
const text = "text/plain; charset=utf-8";

describe("answers", () => {
  test.each([
    ["text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", html],
    ["application/json, text/plain, */*", json],
    ["application/json", json],
    ["application/problem+json", json],
    ["application/vnd.github+json", json],
    ["text/plain", text],
    ["*/*", text],
    ["", text],
    ["text/event-stream", text],
    ["image/png", text],
    ["text/html;q=0.1, application/json;q=0.9", json],
    ["text/html;q=0, application/json;q=0.1", json],
    ["TEXT/HTML", html],
    ["*/*, text/html", html],
    ["text/html;q=nonsense", text],
    [`${"x/y,".repeat(10_000)}text/html`, text],
  ])("Accept %s gets %s", (accept, type) => {
    expect(field(answer("unknown-tunnel", { accept }), "Content-Type")).toBe(type);
  });

  test("each code has an answer in each form, with its own length and code", () => {
    for (const code of Object.keys(codes) as Code[]) {
      for (const accept of ["text/html", "application/json", "text/plain"]) {
        const made = answer(code, { accept, host: "blue.localhost", name: "blue" });
        expect(made.status).toBe(codes[code].status ?? 500);
        expect(field(made, "Underpass-Error")).toBe(code);
        expect(field(made, "Content-Length")).toBe(String(made.body.length));
        expect(field(made, "Cache-Control")).toBe("no-store");
        expect(textOf(made)).toContain(code);
      }
    }
  });

  test("problem details have the code, the status and what happened", () => {
    const made = answer("origin-refused", {
      accept: json,
      name: "blue",
      host: "blue.localhost",
      detail: "No <way>.",
    });
    expect(JSON.parse(textOf(made))).toEqual({
      title: "Nothing listens on the port",
      status: 502,
      detail: "No <way>.",
      code: "origin-refused",
      name: "blue",
      host: "blue.localhost",
    });
  });

  test("503 and 429 say when to come back, others don't", () => {
    expect(field(answer("agent-offline", {}), "Retry-After")).toBe("5");
    expect(field(answer("agent-offline", { retryAfterSeconds: 0.2 }), "Retry-After")).toBe("1");
    expect(field(answer("too-many-requests", { retryAfterSeconds: 30 }), "Retry-After")).toBe("30");
    expect(field(answer("origin-refused", {}), "Retry-After")).toBeUndefined();
  });

  test("401 asks for a token, 405 says what is allowed", () => {
    expect(field(answer("unauthorized", {}), "WWW-Authenticate")).toStartWith("Bearer");
    expect(field(answer("method-refused", {}), "Allow")).toContain("GET");
  });

  test("a page escapes all that a visitor can write", () => {
    const evil = `<script>"'&</script>`;
    for (const context of [{ host: evil }, { name: evil }, { detail: evil }]) {
      const page = textOf(answer("origin-refused", { accept: "text/html", ...context }));
      expect(page).not.toContain("<script");
      expect(page).toContain("&lt;script&gt;&quot;&#39;&amp;&lt;/script&gt;");
    }
  });

  test("a page reloads by itself only where the cure comes without the visitor", () => {
    const page = (code: Code) => textOf(answer(code, { accept: "text/html" }));
    expect(page("origin-refused")).toContain('http-equiv="refresh"');
    expect(page("agent-offline")).toContain('http-equiv="refresh"');
    expect(page("unknown-tunnel")).not.toContain('http-equiv="refresh"');
    expect(page("link-lost")).not.toContain('http-equiv="refresh"');
  });

  test("a page needs nothing from elsewhere", () => {
    const page = textOf(answer("origin-refused", { accept: "text/html" }));
    expect(page).not.toMatch(/<script|<link|https?:\/\/(?!`)[a-z]+\.|url\(|@import/);
    expect(page.length).toBeLessThan(8_192);
  });

  test("no field can be split by what a visitor wrote", () => {
    const made = answer("unknown-tunnel", { host: "a\r\nX: y", name: "a\r\nX: y", detail: "a\r\nX: y" });
    for (const part of made.fields) expect(part).not.toMatch(/[\r\n]/);
  });
});
