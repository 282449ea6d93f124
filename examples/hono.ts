/** A Hono app that is reachable without listening anywhere: `bun examples/hono.ts`. */
import { Hono } from "hono";
import { expose } from "underpass";

const app = new Hono();
app.get("/", (context) => context.text("No port of mine is open.\n"));

const tunnel = await expose({ fetch: app.fetch });
console.log(tunnel.url);

process.once("SIGINT", () => tunnel.close());
