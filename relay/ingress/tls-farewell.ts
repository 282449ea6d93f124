import type { Clock } from "../../shared/clock.ts";
import type { Code } from "../../shared/errors.ts";
import type { Socket } from "../../shared/socket.ts";
import { type Alert, alerts, fatalAlert } from "../../shared/tls/alert.ts";

/** What a visitor in his handshake is told where nobody can answer him; a code that is not here is a reset, as in TCP. */
const alertOf: { readonly [code in Code]?: Alert } = {
  "unknown-host": alerts.unrecognizedName,
  "unknown-tunnel": alerts.unrecognizedName,
  "agent-offline": alerts.internalError,
  "too-many-streams": alerts.internalError,
  "too-many-requests": alerts.internalError,
  "origin-refused": alerts.internalError,
  "origin-unreachable": alerts.internalError,
  "origin-not-found": alerts.internalError,
  "origin-timeout": alerts.internalError,
};

export function tlsAlert(code: Code): Alert | undefined {
  return alertOf[code];
}

/** What is dropped is what came in between: a visitor who has read an alert or a FIN closes. */
const lingerMs = 2_000;

/**
 * Tells a visitor why (undefined: nothing that he would understand), ends, and drops what he still sends for a while: a
 * socket that is closed on unread bytes is reset, and the alert lost with it. `gone` is called when the socket is.
 */
export function sayFarewell(
  socket: Socket,
  alert: Alert | undefined,
  clock: Clock,
  gone: () => void = () => {},
): void {
  const cancel = clock.at(clock.now() + lingerMs, () => socket.destroy());
  socket.handler = {
    data() {},
    drained() {},
    ended() {},
    closed: () => {
      cancel();
      gone();
    },
  };
  if (alert !== undefined) socket.write(fatalAlert(alert));
  socket.end();
  socket.resume();
}
