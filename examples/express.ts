/** An Express app behind a tunnel: `bun examples/express.ts`. */
import type { AddressInfo } from "node:net";
import express from "express";
import { expose } from "underpass";

const app = express();
app.get("/", (_request, response) => void response.send("Express, through the tunnel.\n"));

const listener = app.listen(0, "127.0.0.1", async () => {
  const tunnel = await expose({ port: (listener.address() as AddressInfo).port });
  console.log(tunnel.url);
  process.once("SIGINT", async () => {
    await tunnel.close();
    listener.close();
    listener.closeAllConnections();
  });
});
