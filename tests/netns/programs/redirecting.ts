/** A web server on port 80 of every address of its host, that sends everybody to the URL of its first argument. */
import net from "node:net";

const location = Bun.argv[2] ?? "";
const web = net.createServer((socket) => {
  socket.on("error", () => {});
  socket.once("data", () =>
    socket.end(
      `HTTP/1.1 302 Found\r\nLocation: ${location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`,
    ),
  );
});
web.listen(80, () => console.log(JSON.stringify({ event: "listening" })));
