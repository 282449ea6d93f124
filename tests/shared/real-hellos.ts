import { type AddressInfo, createServer } from "node:net";
import tls from "node:tls";
import { denoPath } from "../../scripts/deno-path.ts";
import { installed } from "../blackbox/programs/installed.ts";
import { within } from "../blackbox/programs/within.ts";

const waitMs = 30_000;

/** What a real program says first, and what it was told to say. */
export interface RealHello {
  readonly program: string;
  readonly bytes: Uint8Array;
  readonly sni: string | undefined;
  readonly alpn: readonly string[] | undefined;
}

interface Saying {
  readonly program: string;
  readonly sni?: string;
  readonly alpn?: readonly string[];
  command(port: number): readonly string[];
}

const long = Array.from({ length: 100 }, (_, i) => `protocol-${i}`);

/** Every TLS library that is at hand: OpenSSL (also inside curl), BoringSSL (Bun), rustls (Deno). */
function sayings(): readonly Saying[] {
  const all: Saying[] = [];
  const openssl = installed("openssl");
  const curl = installed("curl");
  if (openssl !== undefined) {
    const say = (what: string, args: string, told: Pick<Saying, "sni" | "alpn">) =>
      all.push({
        program: `openssl ${what}`,
        ...told,
        command: (port) => [openssl, "s_client", "-connect", `127.0.0.1:${port}`, ...args.split(" ")],
      });
    say("as it is", "-servername Blue.Example.COM", { sni: "Blue.Example.COM" });
    say("with ALPN", "-servername blue.example.com -alpn h2,http/1.1", {
      sni: "blue.example.com",
      alpn: ["h2", "http/1.1"],
    });
    say("without a name", "-noservername", {});
    say("with TLS 1.2", "-tls1_2 -servername blue.example.com", { sni: "blue.example.com" });
    say(
      "in records of 512 bytes",
      `-max_send_frag 512 -servername blue.example.com -alpn ${long.join(",")}`,
      {
        sni: "blue.example.com",
        alpn: long,
      },
    );
  }
  if (curl !== undefined)
    all.push({
      program: "curl",
      sni: "blue.example.com",
      alpn: ["h2", "http/1.1"],
      command: (port) => [
        ...[curl, "-sk", "--http2", "--connect-to", `::127.0.0.1:${port}`],
        `https://blue.example.com:${port}/`,
      ],
    });
  const deno =
    "await Deno.startTls(await Deno.connect({hostname: '127.0.0.1', port: PORT}), {hostname: 'blue.example.com', alpnProtocols: ['h2', 'http/1.1']}).then((s) => s.handshake())";
  all.push({
    program: "deno",
    sni: "blue.example.com",
    alpn: ["h2", "http/1.1"],
    command: (port) => [denoPath(), "eval", "--no-check", deno.replace("PORT", String(port))],
  });
  return all;
}

/** Listens, lets each program in turn open a TLS socket, and keeps the first thing that it says. */
export async function realHellos(): Promise<readonly RealHello[]> {
  const hellos = sayings().map(async ({ program, sni, alpn, command }): Promise<RealHello> => {
    let child: Bun.Subprocess | undefined;
    const bytes = await firstWords(program, (port) => {
      child = Bun.spawn([...command(port)], { stdin: "ignore", stdout: "ignore", stderr: "ignore" });
    });
    child?.kill("SIGKILL");
    await child?.exited;
    return { program, bytes, sni, alpn };
  });
  const boring = firstWords("bun", (port) => {
    const options = { host: "127.0.0.1", port, servername: "blue.example.com", ALPNProtocols: ["h2"] };
    tls.connect(options).on("error", () => {});
  });
  const own = { program: "bun", bytes: await boring, sni: "blue.example.com", alpn: ["h2"] };
  return [own, ...(await Promise.all(hellos))];
}

/** All that comes until the first message is there by its own word; programs wait for an answer then. */
async function firstWords(program: string, start: (port: number) => void): Promise<Uint8Array> {
  const listener = createServer();
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const words = new Promise<Uint8Array>((resolve) => {
    listener.on("connection", (socket) => {
      let all = Buffer.alloc(0);
      socket.on("error", () => {});
      socket.on("data", (bytes) => {
        all = Buffer.concat([all, Buffer.from(bytes)]);
        if (!hasAll(all)) return;
        resolve(new Uint8Array(all));
        socket.destroy();
      });
    });
  });
  start((listener.address() as AddressInfo).port);
  try {
    return await within(words, waitMs, () => `the first words of ${program}`);
  } finally {
    listener.close();
  }
}

/** Whether whole records are here that have one whole message. */
function hasAll(bytes: Buffer): boolean {
  let message = Buffer.alloc(0);
  for (let at = 0; at + 5 <= bytes.length; at += 5 + bytes.readUInt16BE(at + 3)) {
    const end = at + 5 + bytes.readUInt16BE(at + 3);
    if (end > bytes.length) return false;
    message = Buffer.concat([message, bytes.subarray(at + 5, end)]);
    if (message.length >= 4 && message.length >= 4 + message.readUIntBE(1, 3)) return true;
  }
  return false;
}
