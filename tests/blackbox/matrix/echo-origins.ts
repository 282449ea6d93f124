import { createSocket } from "node:dgram";
import { once } from "node:events";
import { readFile, rm } from "node:fs/promises";
import { type AddressInfo, createServer, type Server } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { makeCertificate } from "../origins/tls.ts";

/** Origins that give back what they get, one for each way of speaking. */
export interface EchoOrigins {
  readonly http: number;
  readonly tcp: number;
  readonly tls: number;
  readonly udp: number;
  close(): Promise<void>;
}

export async function startEchoOrigins(): Promise<EchoOrigins> {
  const http = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    maxRequestBodySize: 2 ** 40,
    fetch: (request) => new Response(request.body),
  });
  const tcp = createServer(
    { allowHalfOpen: true },
    (socket) => void socket.on("error", () => {}).pipe(socket),
  );
  const { folder, key, cert } = await makeCertificate();
  const tls = createTlsServer(
    { key: await readFile(key), cert: await readFile(cert), allowHalfOpen: true },
    (socket) => void socket.on("error", () => {}).pipe(socket),
  );
  await rm(folder, { recursive: true, force: true });
  const udp = createSocket("udp4", (message, from) => udp.send(message, from.port, from.address));
  udp.bind(0, "127.0.0.1");
  await Promise.all([listening(tcp), listening(tls), once(udp, "listening")]);
  return {
    http: Number(http.port),
    tcp: portOf(tcp),
    tls: portOf(tls),
    udp: udp.address().port,
    async close() {
      await http.stop(true);
      udp.close();
      tcp.close();
      tls.close();
    },
  };
}

async function listening(server: Server): Promise<void> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}
