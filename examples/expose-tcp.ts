/** A service of bytes at a public port, nothing of which is read on the way: `bun examples/expose-tcp.ts`. */
import { expose } from "underpass";

// Any listener of bytes will do: a database, a game, or, so that it can be tried with a browser, this.
const service = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch: (request) => new Response(`The port you came to is that of ${request.headers.get("host")}\n`),
});

const tunnel = await expose({
  tcp: `127.0.0.1:${service.port}`,
  onEvent(event) {
    if (event.event === "stream") console.log(event.kind, event.bytesIn, event.bytesOut, event.end);
  },
});
console.log(`${tunnel.url}, or in a browser ${tunnel.url.replace("tcp:", "http:")}/`);

process.once("SIGINT", async () => {
  // A browser keeps its socket open, and bytes don't tell when an exchange is over.
  await tunnel.close(500);
  await service.stop(true);
});
