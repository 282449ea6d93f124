import page from "./index.html" with { type: "text" };

/** A running demo page. */
export interface Demo {
  /** `http://127.0.0.1:PORT`: the page without a tunnel. */
  readonly url: string;
  readonly port: number;
  /** Closes the listener and every open exchange. */
  stop(): Promise<void>;
}

/** How often `/events` sends one. */
const eventIntervalMs = 500;
/** The page offers uploads of up to 64 MiB; curl may send more. */
const maxUploadBytes = 4 * 1024 ** 3;

/**
 * Starts the page that `npm run quickstart` puts behind a tunnel. It has one endpoint for each thing that a tunnel has
 * to carry: an answer, a stream of events, a WebSocket and an upload. Port 0 takes a free one.
 */
export function startDemo(options: { readonly port: number }): Demo {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: options.port,
    maxRequestBodySize: maxUploadBytes,
    fetch(request, listener) {
      const { pathname } = new URL(request.url);
      switch (`${request.method} ${pathname}`) {
        case "GET /":
        case "HEAD /":
          return new Response(String(page), { headers: { "content-type": "text/html; charset=utf-8" } });
        case "GET /hello":
          return hello(request);
        case "GET /events":
          listener.timeout(request, 0); // Bun ends a silent answer after 10 s otherwise.
          return events();
        case "GET /socket":
          return listener.upgrade(request)
            ? undefined
            : new Response("This address speaks WebSocket.\n", {
                status: 426,
                headers: { upgrade: "websocket" },
              });
        case "POST /upload":
          listener.timeout(request, 0);
          return upload(request);
        default:
          return new Response("Not here.\n", { status: 404 });
      }
    },
    websocket: {
      message(socket, message) {
        socket.send(message);
      },
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    port: server.port ?? 0,
    stop: () => server.stop(true),
  };
}

/** An answer that also says how the request got here: a relay adds the forwarded headers. */
function hello(request: Request): Response {
  return Response.json(
    {
      host: request.headers.get("host"),
      tunnel: request.headers.get("x-forwarded-host"),
      visitor: request.headers.get("x-forwarded-for"),
    },
    { headers: { "cache-control": "no-store" } },
  );
}

function events(): Response {
  let timer: ReturnType<typeof setInterval> | undefined;
  let count = 0;
  const body = new ReadableStream<string>({
    start(controller) {
      const send = (): void =>
        controller.enqueue(`id: ${count}\ndata: {"n":${count++},"atMs":${Date.now()}}\n\n`);
      send();
      timer = setInterval(send, eventIntervalMs);
    },
    cancel() {
      clearInterval(timer);
    },
  });
  return new Response(body.pipeThrough(new TextEncoderStream()), {
    headers: { "content-type": "text/event-stream", "cache-control": "no-store" },
  });
}

/** Hashes what comes, so that the page can show that nothing was lost. */
async function upload(request: Request): Promise<Response> {
  const hash = new Bun.CryptoHasher("sha256");
  let bytes = 0;
  for await (const chunk of request.body ?? []) {
    hash.update(chunk);
    bytes += chunk.byteLength;
  }
  return Response.json({ bytes, sha256: hash.digest("hex") }, { headers: { "cache-control": "no-store" } });
}

if (import.meta.main) console.log(startDemo({ port: Number(process.env["PORT"] ?? 0) }).url);
