import type { Code } from "../shared/errors.ts";
import type { PipeEnd } from "../shared/pipe.ts";

/** Opens streams towards the relay, for what listens on this machine: connect, proxy. */
export interface Caller {
  /**
   * A stream of bytes to `target` (`host:port`), or (undefined) to the private tunnel that this agent connects to.
   * `opened`: the far end has accepted. Bytes may be written before; a failure comes as `aborted` to the end's handler.
   * It waits for a link for some seconds where there is none.
   */
  tcp(target: string | undefined, opened: () => void): PipeEnd;
  /** A flow of datagrams to `target`. What is sent while no link is there is lost. */
  udp(target: string, handler: FlowHandler): Flow;
}

export interface FlowHandler {
  /** The far socket is open. */
  opened(): void;
  datagram(bytes: Uint8Array): void;
  /** Over; nothing comes after. Not after one's own `close`. Without a code: the far side ended it. */
  closed(code: Code | undefined): void;
}

export interface Flow {
  send(bytes: Uint8Array): void;
  close(): void;
}
