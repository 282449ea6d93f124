/**
 * A program: takes uploads with Content-Length on a free port (its first line) of the address that is its argument,
 * and answers with the bytes it got.
 */
interface Upload {
  head: string;
  /** Body bytes still to come; -1 while the head is not complete. */
  left: number;
  length: number;
}

const maxHeadChars = 32_768;

const listener = Bun.listen<Upload>({
  hostname: process.argv[2] ?? "127.0.0.1",
  port: 0,
  socket: {
    open(socket) {
      socket.data = { head: "", left: -1, length: 0 };
      socket.setNoDelay(true);
    },
    data(socket, bytes) {
      const upload = socket.data;
      let rest = bytes.byteLength;
      if (upload.left < 0) {
        upload.head += Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
        const end = upload.head.indexOf("\r\n\r\n");
        if (end < 0) {
          if (upload.head.length > maxHeadChars) socket.terminate();
          return;
        }
        rest = upload.head.length - end - 4;
        upload.length = Number(
          /\r\ncontent-length: *(\d+)/i.exec(upload.head.slice(0, end))?.[1] ?? Number.NaN,
        );
        upload.left = upload.length;
        upload.head = "";
      }
      upload.left -= rest;
      if (upload.left === 0) {
        const text = `${upload.length}\n`;
        socket.write(
          `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${text.length}\r\n\r\n${text}`,
        );
        upload.left = -1;
      } else if (!(upload.left > 0)) {
        socket.terminate(); // no Content-Length, or more than it said
      }
    },
    close() {},
    error() {},
  },
});
console.log(listener.port);
