import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import express from "express";

/** An Express app: JSON, a redirect, cookies, a stream and an upload. */
export async function startExpress(): Promise<{ port: number; close(): Promise<void> }> {
  const app = express();
  app.get("/json", (_request, response) => void response.json({ hello: "world" }));
  app.get("/move", (_request, response) => response.redirect("/json"));
  app.get("/cookies", (_request, response) => void response.cookie("a", "1").cookie("b", "2").send("ok"));
  app.get("/stream", (_request, response) => {
    response.write("one,");
    response.write("two,");
    response.end("three");
  });
  app.post("/length", express.raw({ type: () => true, limit: "10mb" }), (request, response) => {
    response.send(String((request.body as Uint8Array).length));
  });
  const server = await new Promise<Server>((resolve) => {
    const listening: Server = app.listen(0, "127.0.0.1", () => resolve(listening));
  });
  const close = () =>
    new Promise<void>((resolve) => {
      server.closeAllConnections();
      server.close(() => resolve());
    });
  return { port: (server.address() as AddressInfo).port, close };
}
