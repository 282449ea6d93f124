import { expect, test } from "bun:test";
import { Hono } from "hono";
import { streamSSE } from "hono/streaming";
import { type AgentEvent, expose, UnderpassError } from "underpass";

/** The path form: it resolves everywhere. */
function pathUrl(urls: readonly string[]): string {
  const url = urls.find((each) => each.includes("/~"));
  if (url === undefined) throw new Error("no path form");
  return url;
}

test("expose({ port }) makes a service reachable, and closes at the end of the block", async () => {
  await using service = Bun.serve({
    port: 0,
    fetch: (request) => new Response(new URL(request.url).pathname),
  });
  const events: AgentEvent[] = [];
  let url: string;
  {
    await using tunnel = await expose({
      port: service.port ?? 0,
      name: "blue",
      onEvent: (event) => events.push(event),
    });
    expect(tunnel.name).toBe("blue");
    expect(tunnel.url).toStartWith("http://blue.localhost:");
    url = pathUrl(tunnel.urls);
    const answer = await fetch(`${url}/a%2Fb`, { headers: { connection: "close" } });
    expect(await answer.text()).toBe("/a%2Fb");
  }
  expect(events[0]).toMatchObject({ event: "listening", embedded: true });
  expect(events.map(({ event }) => event)).toContain("request");
  expect(fetch(url)).rejects.toThrow();
});

test("expose({ fetch }) serves a Hono app with no port: pages, uploads, events as they come", async () => {
  const next = Promise.withResolvers<void>();
  const app = new Hono();
  app.get("/", (context) => context.html("<p>hello</p>"));
  app.post("/size", async (context) => context.json({ bytes: (await context.req.arrayBuffer()).byteLength }));
  app.get("/events", (context) =>
    streamSSE(context, async (stream) => {
      await stream.writeSSE({ data: "one" });
      await next.promise;
      await stream.writeSSE({ data: "two" });
    }),
  );
  await using tunnel = await expose({ fetch: app.fetch });
  const url = pathUrl(tunnel.urls);
  const page = await fetch(`${url}/`);
  expect(page.headers.get("content-type")).toStartWith("text/html");
  expect(await page.text()).toBe("<p>hello</p>");
  const sized = await fetch(`${url}/size`, { method: "POST", body: new Uint8Array(3_000_000) });
  expect(await sized.json()).toEqual({ bytes: 3_000_000 });
  const events = (await fetch(`${url}/events`)).body?.getReader();
  const text = new TextDecoder();
  expect(text.decode((await events?.read())?.value)).toBe("data: one\n\n");
  next.resolve();
  expect(text.decode((await events?.read())?.value)).toBe("data: two\n\n");
  expect((await events?.read())?.done).toBe(true);
});

test("a visitor who leaves aborts the request inside a fetch function", async () => {
  const aborted = Promise.withResolvers<void>();
  const app = (request: Request): Response => {
    request.signal.addEventListener("abort", () => aborted.resolve());
    const start = (controller: ReadableStreamDefaultController<Uint8Array>): void =>
      controller.enqueue(new Uint8Array(1));
    return new Response(new ReadableStream({ start }));
  };
  await using tunnel = await expose({ fetch: app });
  const visitor = new AbortController();
  const answer = await fetch(`${pathUrl(tunnel.urls)}/`, { signal: visitor.signal });
  await answer.body?.getReader().read();
  visitor.abort();
  await aborted.promise;
});

test("two tunnels in one process stand beside each other", async () => {
  await using one = await expose({ fetch: () => new Response("one") });
  await using two = await expose({ fetch: () => new Response("two") });
  expect(await (await fetch(`${pathUrl(one.urls)}/`)).text()).toBe("one");
  expect(await (await fetch(`${pathUrl(two.urls)}/`)).text()).toBe("two");
});

test("expose({ tcp }) gives a service of bytes a public port", async () => {
  using service = Bun.listen({
    ...{ hostname: "127.0.0.1", port: 0 },
    socket: { data: (socket, bytes) => void socket.write(bytes) },
  });
  await using tunnel = await expose({ tcp: service.port });
  const [, port] = /^tcp:\/\/127\.0\.0\.1:(\d+)$/.exec(tunnel.url) ?? [];
  const echoed = Promise.withResolvers<string>();
  const visitor = await Bun.connect({
    ...{ hostname: "127.0.0.1", port: Number(port) },
    socket: { data: (_, bytes) => echoed.resolve(bytes.toString()) },
  });
  visitor.write("hello");
  expect(await echoed.promise).toBe("hello");
  visitor.terminate();
});

test("what can't work is refused at once, with a code", async () => {
  const code = async (promise: Promise<unknown>): Promise<string> => {
    const error: unknown = await promise.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    return error instanceof UnderpassError ? error.code : String(error);
  };
  const fetch = (): Response => new Response();
  expect(await code(expose({}))).toBe("usage");
  expect(await code(expose({ port: 1, fetch }))).toBe("usage");
  expect(await code(expose({ port: 70_000 }))).toBe("usage");
  expect(await code(expose({ tcp: 1, udp: 1 }))).toBe("usage");
  expect(await code(expose({ udp: "unix:/x" }))).toBe("usage");
  expect(await code(expose({ port: 1, remotePort: 1 }))).toBe("usage");
  expect(await code(expose({ tcp: 1, allowEgress: ["nonsense"] }))).toBe("usage");
  expect(await code(expose({ fetch, name: "No" }))).toBe("name-invalid");
  expect(await code(expose({ fetch, relay: "http://relay.example" }))).toBe("insecure-relay");
});

test("a relay that refuses the token, and one that is not there, reject", async () => {
  await using relay = await expose({ fetch: () => new Response() });
  const { origin } = new URL(pathUrl(relay.urls));
  const refused = expose({ fetch: () => new Response(), relay: origin, token: "a.b.c" });
  expect(refused).rejects.toMatchObject({ code: "unauthorized" });
  await refused.catch(() => {});
  using free = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = free;
  free.stop(true);
  const absent = expose({ fetch: () => new Response(), relay: `http://127.0.0.1:${port}`, reconnect: false });
  expect(absent).rejects.toMatchObject({ code: "relay-unreachable" });
  await absent.catch(() => {});
});

test("a signal gives up a tunnel that never comes", async () => {
  using free = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = free;
  free.stop(true);
  const abort = new AbortController();
  const reason = new Error("enough");
  const waiting = expose({
    fetch: () => new Response(),
    relay: `http://127.0.0.1:${port}`,
    signal: abort.signal,
    onEvent: ({ event }) => void (event === "error" && abort.abort(reason)),
  });
  expect(await waiting.catch((error: unknown) => error)).toBe(reason);
});
