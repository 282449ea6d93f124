/** A WebSocket origin on Bun that echoes text and binary; `/bye` closes with what the first message says: `CODE REASON`. */
export function startEcho(): { port: number; close(): Promise<void> } {
  const server = Bun.serve<{ path: string }>({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    fetch(request, server) {
      const { pathname } = new URL(request.url);
      const wanted = request.headers.get("sec-websocket-protocol")?.split(/, */) ?? [];
      const headers = wanted.includes("echo.2") ? { "Sec-WebSocket-Protocol": "echo.2" } : undefined;
      if (server.upgrade(request, { data: { path: pathname }, ...(headers ? { headers } : {}) }))
        return undefined;
      return new Response("a WebSocket, please", { status: 426 });
    },
    websocket: {
      maxPayloadLength: 64 * 1024 * 1024,
      backpressureLimit: 64 * 1024 * 1024,
      idleTimeout: 0,
      open(socket) {
        if (socket.data.path === "/greets") socket.send("welcome");
      },
      message(socket, message) {
        if (socket.data.path !== "/bye") {
          socket.send(message);
          return;
        }
        const [code, ...reason] = String(message).split(" ");
        socket.close(Number(code), reason.join(" "));
      },
    },
  });
  return { port: Number(server.port), close: () => server.stop(true) };
}
