import { describe, expect, test } from "bun:test";
import { type ControlDeps, controlPlane } from "../../relay/app.ts";
import { ownerOf } from "../../relay/auth/claims.ts";
import { Tokens } from "../../relay/auth/tokens.ts";
import { Metrics } from "../../relay/metrics.ts";
import { Names } from "../../relay/names.ts";
import { factsOf } from "../cluster/memory-board.ts";

const dateMs = 1_800_000_000_000;
const tokens = new Tokens(new TextEncoder().encode("0123456789abcdef0123456789abcdef"));
const local = { remote: "127.0.0.1:4000" };
const far = { remote: "192.0.2.1:4000" };

function relay(more: Partial<ControlDeps> = {}) {
  const names = new Names({ ttlMs: 1000, random: (bytes) => crypto.getRandomValues(bytes), maxNames: 10 });
  const metrics = new Metrics();
  const deps = {
    tokens,
    names,
    metrics,
    revoke: () => {},
    state: () => "ready" as const,
    now: () => 0,
    date: () => dateMs,
    ...more,
  };
  const app = controlPlane(deps);
  const ask = (path: string, init: RequestInit = {}, env = local) =>
    app.fetch(new Request(`http://relay.test${path}`, init), env);
  return { ask, names, metrics };
}

const authorization = async (grant: object = {}) =>
  `Bearer ${await tokens.mint({ subject: "alice", ttlMs: 60_000, ...grant }, dateMs)}`;

async function askName(body: string, grant: object = {}, more: Partial<ControlDeps> = {}) {
  const { ask } = relay(more);
  return ask("/_underpass/names", {
    method: "POST",
    body,
    headers: { authorization: await authorization(grant) },
  });
}

/** A body of unknown length: no Content-Length announces it. */
const chunked = (chunks: string[]) =>
  new ReadableStream<Uint8Array>({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(new TextEncoder().encode(chunk));
      controller.close();
    },
  });

describe("the control plane", () => {
  test("is healthy while it lives, and ready until it drains", async () => {
    const { ask } = relay();
    expect((await ask("/healthz")).status).toBe(200);
    expect((await ask("/readyz")).status).toBe(200);
    const draining = relay({ state: () => "draining" });
    expect((await draining.ask("/healthz")).status).toBe(200);
    expect((await draining.ask("/readyz")).status).toBe(503);
    expect((await relay({ state: () => "starting" }).ask("/readyz")).status).toBe(503);
  });

  test("has a page for people at /", async () => {
    const page = await relay().ask("/");
    expect(page.headers.get("content-type")).toContain("text/html");
    expect(await page.text()).toContain("The relay is up");
  });

  test("tells operators what a tunnel's object says of itself, where tunnels have objects", async () => {
    const asked: string[] = [];
    const objectFigures = async (name: string) => {
      asked.push(name);
      return { streams: 3 };
    };
    const { ask } = relay({ objectFigures });
    const read = async (path: string, grant?: object) =>
      ask(path, grant === undefined ? {} : { headers: { authorization: await authorization(grant) } });
    expect((await read("/_underpass/objects/blue")).status).toBe(401);
    expect((await read("/_underpass/objects/blue", {})).status).toBe(401);
    const answer = await read("/_underpass/objects/blue", { admin: true });
    expect([answer.status, answer.headers.get("cache-control")]).toEqual([200, "no-store"]);
    expect(await answer.json()).toEqual({ streams: 3 });
    expect((await read("/_underpass/objects/Not-a-name-", { admin: true })).status).toBe(404);
    expect(asked).toEqual(["blue"]);
    expect((await relay().ask("/_underpass/objects/blue")).status).toBe(404);
  });

  test("answers 404 not-found to anything else, in the form that is asked for", async () => {
    const { ask, metrics } = relay();
    const page = await ask("/wp-login.php", { headers: { accept: "text/html" } });
    expect(page.status).toBe(404);
    expect(page.headers.get("underpass-error")).toBe("not-found");
    expect(page.headers.get("content-type")).toContain("text/html");
    const problem = await ask("/_underpass/nothing", { method: "DELETE" });
    expect(problem.status).toBe(404);
    expect(await problem.json()).toMatchObject({ code: "not-found", status: 404 });
    expect(metrics.text()).toContain('underpass_refusals_total{code="not-found"} 2');
  });

  test("gives metrics to this machine, and to an admin token from anywhere", async () => {
    const { ask } = relay();
    expect(await (await ask("/metrics")).text()).toContain("underpass_streams_open 0");
    expect((await ask("/metrics", {}, { remote: "[::1]:5" })).status).toBe(200);
    expect((await ask("/metrics", {}, far)).status).toBe(401);
    const headers = { authorization: await authorization() };
    expect((await ask("/metrics", { headers }, far)).status).toBe(401);
    const admin = { authorization: await authorization({ admin: true }) };
    expect((await ask("/metrics", { headers: admin }, far)).status).toBe(200);
  });

  test("does not take a proxy on this machine for this machine", async () => {
    const headers = { "x-forwarded-for": "192.0.2.1" };
    expect((await relay().ask("/metrics", { headers })).status).toBe(401);
    expect((await relay({ behindProxy: true }).ask("/metrics")).status).toBe(401);
    expect((await relay().ask("/metrics", {}, { remote: "127.evil" })).status).toBe(401);
    expect((await relay().ask("/metrics", {}, { remote: "" })).status).toBe(401);
  });

  test("tells of the cluster, as of metrics, where there is one", async () => {
    const figures = {
      ...{ self: factsOf("aaaaaaaa"), nodes: [], registryReachable: true },
      ...{ names: 3, tunnels: 2, sessions: 4, hops: 5 },
    };
    const { ask } = relay({ cluster: () => figures });
    const path = "/_underpass/api/cluster";
    const answer = await ask(path);
    expect([answer.status, answer.headers.get("cache-control")]).toEqual([200, "no-store"]);
    expect(await answer.json()).toEqual(figures);
    expect((await ask(path, {}, far)).status).toBe(401);
    const asked = async (grant: object) =>
      (await ask(path, { headers: { authorization: await authorization(grant) } }, far)).status;
    expect([await asked({}), await asked({ admin: true })]).toEqual([401, 200]);
    expect((await relay().ask(path)).status).toBe(404);
    expect(await (await ask("/metrics")).text()).toContain("underpass_cluster_names 3\n");
    expect(await (await relay().ask("/metrics")).text()).not.toContain("cluster");
  });

  test("gives a random name, or the one that was asked for, to its token's subject", async () => {
    const random = await askName('{"kind":"http"}');
    expect(random.status).toBe(201);
    expect((await random.json()).name).toMatch(/^[a-z]+-[a-z]+-[a-z0-9]{5}$/);
    const asked = await askName('{"kind":"http","name":"blue","more":1}');
    expect(asked.status).toBe(201);
    expect(await asked.json()).toEqual({ name: "blue" });
  });

  test.each([
    ["not json", "bad-request", 400],
    ["", "bad-request", 400],
    ["null", "bad-request", 400],
    ["[]", "bad-request", 400],
    ['{"name":"blue"}', "bad-request", 400],
    ['{"kind":"ftp"}', "bad-request", 400],
    ['{"kind":"http","name":1}', "bad-request", 400],
    ['{"kind":"http","name":"-"}', "name-invalid", 400],
    ['{"kind":"tcp"}', "kind-forbidden", 403],
    ['{"kind":"http","name":"blue"}', "name-forbidden", 403],
    ['{"kind":"http"}', "name-forbidden", 403],
  ])("the body %s is refused as %s", async (body, code, status) => {
    const refused = await askName(body, { names: ["red-*"], kinds: ["http"] });
    expect(refused.status).toBe(status);
    expect(refused.headers.get("underpass-error")).toBe(code);
    expect(refused.headers.get("content-type")).toBe("application/problem+json");
    expect(await refused.json()).toMatchObject({ code, status });
  });

  test("a name of another subject is taken", async () => {
    const { ask, names } = relay();
    names.claim("blue", "somebody", "http", 0);
    const headers = { authorization: await authorization() };
    const refused = await ask("/_underpass/names", {
      method: "POST",
      body: '{"kind":"http","name":"blue"}',
      headers,
    });
    expect(refused.status).toBe(409);
    expect(refused.headers.get("underpass-error")).toBe("name-taken");
  });

  test("nobody gets a name without a good token, and the body is not looked at", async () => {
    const { ask, names } = relay();
    for (const authorization of [undefined, "", "Basic abc", "Bearer", "Bearer x.y.z", "Bearer a b"]) {
      const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
      const refused = await ask("/_underpass/names", { method: "POST", body: "x".repeat(100_000), headers });
      expect(refused.status).toBe(401);
      expect(refused.headers.get("www-authenticate")).toStartWith("Bearer");
    }
    expect(names.size).toBe(0);
  });

  test("a chunked body is accepted up to 4 KiB and refused with 413 beyond, before its end", async () => {
    const { ask } = relay();
    const headers = { authorization: await authorization() };
    const padded = ['{"kind":"http",', " ".repeat(4_096 - 15 - 12), '"name":"a1"}'];
    const fits = await ask("/_underpass/names", { method: "POST", body: chunked(padded), headers });
    expect(fits.status).toBe(201);
    const over = await ask("/_underpass/names", { method: "POST", body: chunked([" ", ...padded]), headers });
    expect(over.status).toBe(413);
    expect(over.headers.get("underpass-error")).toBe("body-too-large");
    let pulled = 0;
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        pulled++;
        controller.enqueue(new Uint8Array(1_024).fill(32));
      },
    });
    const refused = await ask("/_underpass/names", { method: "POST", body: endless, headers });
    expect(refused.status).toBe(413);
    expect(pulled).toBeLessThan(16);
  });

  test("a body that breaks off is a bad request", async () => {
    const broken = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.error(new Error("gone")),
    });
    const headers = { authorization: await authorization() };
    const refused = await relay().ask("/_underpass/names", { method: "POST", body: broken, headers });
    expect(refused.status).toBe(400);
  });

  test("no new names while draining", async () => {
    const refused = await askName('{"kind":"http"}', {}, { state: () => "draining" });
    expect(refused.status).toBe(503);
    expect(refused.headers.get("retry-after")).not.toBeNull();
  });

  test("a fault of ours is logged, and not told to who asks", async () => {
    const faults: Error[] = [];
    const { ask } = relay({
      now: () => {
        throw new Error("disk on fire");
      },
      fault: (error) => faults.push(error),
    });
    const headers = { authorization: await authorization() };
    const answered = await ask("/_underpass/names", { method: "POST", body: '{"kind":"http"}', headers });
    expect(answered.status).toBe(500);
    expect(await answered.text()).not.toContain("fire");
    expect(faults.map((error) => error.message)).toEqual(["disk on fire"]);
  });
});

describe("a revocation", () => {
  const revoke = async (sub: string) => {
    const owners: string[] = [];
    const { ask } = relay({ revoke: (owner) => void owners.push(owner) });
    const headers = { authorization: await authorization({ admin: true }) };
    const { status } = await ask("/_underpass/revocations", {
      method: "POST",
      body: JSON.stringify({ sub }),
      headers,
    });
    return { status, owners };
  };

  test("names the subject as it was given to `relay token --sub`, blanks and all", async () => {
    const claims = await tokens.verify((await authorization({ subject: " bob " })).slice(7), dateMs);
    expect(await revoke(" bob ")).toEqual({ status: 201, owners: [ownerOf(claims)] });
  });

  test.each(["", " ", "a\nb", "\ud800", "x".repeat(257)])(
    "of what can be no subject is refused: %j",
    async (sub) => {
      expect(await revoke(sub)).toEqual({ status: 400, owners: [] });
    },
  );
});
