import type { Dial, StartTls } from "../../shared/socket.ts";

/** TLS on a socket that was opened without, as behind a proxy. */
export function tlsAfter({ dial, startTls }: { readonly dial: Dial; readonly startTls: StartTls }): Dial {
  return ({ tls, ...target }, timeoutMs, handler) => {
    let giveUp = dial(target, timeoutMs, {
      opened: (socket) => {
        if (tls === undefined) handler.opened(socket);
        else giveUp = startTls(socket, tls, timeoutMs, handler);
      },
      failed: (reason, detail) => handler.failed(reason, detail),
    });
    return () => giveUp();
  };
}
