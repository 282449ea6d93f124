import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { installed } from "../programs/installed.ts";
import { Program } from "../programs/program.ts";

/** A certificate for `localhost` (or `names`) that nobody trusts, and its key, as files in a folder that the caller removes. */
export async function makeCertificate(
  names = "DNS:localhost,IP:127.0.0.1",
): Promise<{ folder: string; key: string; cert: string }> {
  const openssl = installed("openssl");
  if (openssl === undefined) throw new Error("openssl is not installed");
  const folder = await mkdtemp(join(tmpdir(), "underpass-tls-"));
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const asked =
    `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=${names}`.split(
      " ",
    );
  const program = new Program([openssl, ...asked, "-keyout", key, "-out", cert]);
  if ((await program.exit()) !== 0) throw new Error(program.describe());
  return { folder, key, cert };
}

/** An https origin on Bun that echoes WebSockets, with a certificate that nobody trusts. */
export async function startTls(): Promise<{ port: number; close(): Promise<void> }> {
  const { folder, key, cert } = await makeCertificate();
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    tls: { key: await readFile(key, "utf8"), cert: await readFile(cert, "utf8") },
    fetch: (request, server) => (server.upgrade(request) ? undefined : new Response("by TLS")),
    websocket: { message: (socket, message) => void socket.send(message) },
  });
  await rm(folder, { recursive: true, force: true });
  return { port: Number(server.port), close: () => server.stop(true) };
}
