import { type AddressInfo, createServer, type Server } from "node:net";

/** A port that was free a moment ago: for programs that can't take port 0 and tell. */
export async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise<void>((resolve) => probe.close(() => resolve()));
  return port;
}

/** Below the ports that systems give to sockets that dial. */
const lowestPort = 10_000;
const highestPort = 32_000;

/** The first of `size` ports in a row that were free a moment ago: for ranges, of which a program takes some. */
export async function freePorts(size: number): Promise<number> {
  for (let tries = 0; tries < 100; tries++) {
    const low = lowestPort + Math.floor(Math.random() * (highestPort - lowestPort - size));
    const servers = await Promise.all(Array.from({ length: size }, (_, index) => listens(low + index)));
    for (const server of servers) server?.close();
    if (servers.every((server) => server !== undefined)) return low;
  }
  throw new Error("no free ports in a row");
}

function listens(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(undefined));
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}
