import type { connect } from "cloudflare:sockets";
import { once } from "node:events";
import net from "node:net";

type Connect = typeof connect;
type Platform = ReturnType<Connect>;

/**
 * `connect` of Cloudflare Workers as workerd does it, over `node:net`: so that what is built on it meets the same cases
 * as other sockets. A read takes what there is, a write resolves when the system has it, `close` waits for the write
 * under way, and one that breaks off ends in order.
 */
export const platformConnect: Connect = ({ hostname, port }) => {
  const raw = net.connect({ host: hostname.replace(/^\[|\]$/g, ""), port, allowHalfOpen: true });
  raw.pause();
  const closed = Promise.withResolvers<void>();
  let isLost = false;
  raw.on("error", () => {
    isLost = true;
  });
  raw.on("close", () => closed.resolve());
  const fault = (): Error => new Error("Network connection lost.");
  const opened = new Promise<void>((resolve, reject) => {
    raw.once("connect", resolve);
    raw.once("close", () =>
      reject(new Error("proxy request failed, cannot connect to the specified address")),
    );
  });
  opened.catch(() => {});
  const readable = new ReadableStream({
    type: "bytes",
    async pull(controller) {
      const request = controller.byobRequest;
      for (;;) {
        const bytes = raw.read() as Buffer | null;
        if (bytes !== null && request?.view) {
          const view = new Uint8Array(request.view.buffer, request.view.byteOffset, request.view.byteLength);
          const taken = bytes.subarray(0, view.length);
          if (taken.length < bytes.length) raw.unshift(bytes.subarray(taken.length));
          view.set(taken);
          request.respond(taken.length);
          return;
        }
        if (raw.readableEnded) {
          controller.close();
          request?.respond(0);
          return;
        }
        if (isLost || raw.destroyed) throw fault();
        await stirred(raw);
      }
    },
  });
  const writable = new WritableStream<Uint8Array>({
    write: (bytes) =>
      new Promise((resolve, reject) => {
        const lost = (): void => reject(fault());
        raw.once("close", lost);
        raw.write(bytes, (error) => {
          raw.off("close", lost);
          if (error) reject(fault());
          else resolve();
        });
      }),
    close: () => new Promise((resolve) => raw.end(resolve)),
  });
  const close = async (): Promise<void> => {
    await opened;
    if (!raw.writableEnded) await new Promise<void>((resolve) => raw.end(resolve));
    raw.destroy();
  };
  return { readable, writable, opened, closed: closed.promise, close } as Platform;
};

/** Something may have changed for a reader. */
async function stirred(raw: net.Socket): Promise<void> {
  const enough = new AbortController();
  const { signal } = enough;
  const events = ["readable", "end", "close"].map((event) => once(raw, event, { signal }));
  await Promise.race(events).catch(() => {});
  enough.abort();
  await Promise.allSettled(events);
}
