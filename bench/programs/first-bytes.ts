/**
 * A program: new visitors one after another, each with a connection of its own; how long until the first byte of the
 * answer. Options are one JSON argument; the result is one JSON line.
 */
import { quantile } from "../statistics.ts";

export interface FirstBytesOptions {
  readonly host: string;
  readonly port: number;
  readonly authority: string;
  readonly path: string;
  readonly seconds: number;
}

export interface FirstBytesResult {
  readonly visitors: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const patienceMs = 20_000;

const options = JSON.parse(process.argv[2] ?? "{}") as FirstBytesOptions;
const request = `GET ${options.path} HTTP/1.1\r\nHost: ${options.authority}\r\nConnection: close\r\n\r\n`;

function fail(reason: string): never {
  console.error(`first-bytes: ${reason}`);
  process.exit(1);
}

async function visit(): Promise<number> {
  const first = Promise.withResolvers<number>();
  const late = setTimeout(() => fail(`no answer in ${patienceMs} ms`), patienceMs);
  const startMs = performance.now();
  const socket = await Bun.connect({
    hostname: options.host,
    port: options.port,
    socket: {
      open: (opened) => void opened.write(request),
      data(_socket, bytes) {
        if (!bytes.toString("latin1").startsWith("HTTP/1.1 200")) fail(bytes.toString("latin1", 0, 200));
        first.resolve(performance.now() - startMs);
      },
      close: () => first.reject(new Error("closed without an answer")),
      error: (_socket, error) => first.reject(error),
    },
  });
  const took = await first.promise;
  clearTimeout(late);
  socket.terminate();
  return took;
}

const times: number[] = [];
const endMs = performance.now() + options.seconds * 1_000;
while (performance.now() < endMs) times.push(await visit().catch((error: unknown) => fail(String(error))));
const result: FirstBytesResult = {
  visitors: times.length,
  p50Ms: quantile(times, 0.5),
  p99Ms: quantile(times, 0.99),
};
console.log(JSON.stringify(result));
