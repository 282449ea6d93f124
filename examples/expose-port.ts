/** A service on a port of this machine, exposed from the same program: `bun examples/expose-port.ts`. */
import { expose } from "underpass";

const service = Bun.serve({
  port: 0,
  fetch: (request) => new Response(`You asked for ${new URL(request.url).pathname}\n`),
});

const tunnel = await expose({
  port: service.port ?? 0,
  onEvent(event) {
    if (event.event === "request") console.log(event.method, event.path, event.status, `${event.ms} ms`);
  },
});
console.log(tunnel.url);

process.once("SIGINT", async () => {
  await tunnel.close();
  await service.stop(true);
});
