import type { Dial, DialTarget } from "../../shared/socket.ts";

/**
 * Dials a bare port: development servers listen on 127.0.0.1, on ::1, or on both, and `localhost` resolves to either.
 * The address that answered last is tried first. A target with a host goes straight through.
 */
export function dialLoopback(dial: Dial): Dial {
  let hosts = ["127.0.0.1", "::1"];
  return (target, timeoutMs, handler) => {
    if (target.host !== undefined || target.unix !== undefined) return dial(target, timeoutMs, handler);
    const [first = "", second = ""] = hosts;
    const at = (host: string): DialTarget => ({ ...target, host });
    let cancel = dial(at(first), timeoutMs, {
      opened: (socket) => handler.opened(socket),
      failed: (firstReason, firstDetail) => {
        if (firstReason === "timeout" || firstReason === "tls") {
          handler.failed(firstReason, firstDetail);
          return;
        }
        cancel = dial(at(second), timeoutMs, {
          opened: (socket) => {
            hosts = [second, first];
            handler.opened(socket);
          },
          // A machine without IPv6 says something else than `refused`, which would explain less.
          failed: (reason, detail) => {
            if (firstReason === "refused") handler.failed(firstReason, firstDetail);
            else handler.failed(reason, detail);
          },
        });
      },
    });
    return () => cancel();
  };
}
