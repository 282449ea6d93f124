// Serves a Hono app through a tunnel, with no local port at all: `bun examples/expose-hono.ts`
import { Hono } from "hono";
import { streamSSE } from "hono/streaming";
import { expose } from "underpass";

const app = new Hono();
app.get("/", (context) => context.text("Hello from under the road\n"));
app.post("/echo", (context) => new Response(context.req.raw.body));
app.get("/count", (context) =>
  streamSSE(context, async (stream) => {
    for (let count = 1; count <= 3; count++) await stream.writeSSE({ data: String(count) });
  }),
);

await using tunnel = await expose({ fetch: app.fetch });
console.log(`the app is at ${tunnel.url}`);

await new Promise((resolve) => process.once("SIGINT", resolve));
