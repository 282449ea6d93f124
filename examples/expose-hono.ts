/** A Hono app that is reachable without listening anywhere: `bun examples/expose-hono.ts`. */
import { Hono } from "hono";
import { streamSSE } from "hono/streaming";
import { expose } from "underpass";

const app = new Hono();
app.get("/", (context) => context.text("No port of mine is open.\n"));
app.post("/echo", (context) => new Response(context.req.raw.body));
app.get("/count", (context) =>
  streamSSE(context, async (stream) => {
    for (let count = 1; count <= 3; count++) await stream.writeSSE({ data: String(count) });
  }),
);

const tunnel = await expose({ fetch: app.fetch });
console.log(tunnel.url);

process.once("SIGINT", () => tunnel.close());
