// Makes a web service on this machine reachable: `bun examples/expose-port.ts 8080`
import { expose } from "underpass";

const port = Number(process.argv[2] ?? 8080);
await using tunnel = await expose({
  port,
  onEvent(event) {
    if (event.event === "request") console.log(event.method, event.path, event.status, `${event.ms} ms`);
  },
});
console.log(`port ${port} is at ${tunnel.url}`);

await new Promise((resolve) => process.once("SIGINT", resolve));
