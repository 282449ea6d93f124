import type { Clock } from "../../shared/clock.ts";
import type { OpenDatagrams } from "../../shared/datagrams.ts";
import type { Code } from "../../shared/errors.ts";
import type { Socket, SocketHandler } from "../../shared/socket.ts";
import type { Caller } from "../caller.ts";
import type { StreamEvent } from "../screen/events.ts";
import type { ProxyCredentials } from "./proxy-credentials.ts";

/** What the conversations on the proxy's local sockets share. */
export interface ProxyPlace {
  readonly caller: Caller;
  readonly clock: Clock;
  /** Without them everybody who reaches the port may use it. */
  readonly credentials: ProxyCredentials | undefined;
  /** Without it UDP ASSOCIATE is refused. */
  readonly openDatagrams: OpenDatagrams | undefined;
  /** The proxy is closing: what is under way finishes, nothing new begins. */
  readonly closing: boolean;
  readonly onStream: (event: StreamEvent) => void;
  /** Nothing is left to do on that socket. More than once is harmless. */
  forget(socket: Socket): void;
}

/** A conversation on one local socket. */
export interface ProxyTalk extends SocketHandler {
  /** When it has waited too long; infinite where nothing bounds it. */
  readonly deadlineMs: number;
  /** Something is being carried, or called for. */
  readonly busy: boolean;
  timeOut(): void;
  /** Ends it now, whatever is under way. */
  destroy(): void;
}

/** The event of an exchange that ended. */
export function proxyEvent(target: string, bytesIn: number, bytesOut: number, code?: Code): StreamEvent {
  const end = code === undefined ? "closed" : "reset";
  return {
    event: "stream",
    kind: "proxy",
    target,
    bytesIn,
    bytesOut,
    end,
    ...(code !== undefined && { code }),
  };
}
