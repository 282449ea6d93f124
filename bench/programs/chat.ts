/** A program: sends each WebSocket message back. A free port (its first line) of the address that is its argument. */
const server = Bun.serve({
  hostname: process.argv[2] ?? "127.0.0.1",
  port: 0,
  fetch: (request, server) =>
    server.upgrade(request) ? undefined : new Response("no WebSocket", { status: 400 }),
  websocket: {
    perMessageDeflate: false,
    message(socket, message) {
      socket.send(message);
    },
  },
});
console.log(server.port);
