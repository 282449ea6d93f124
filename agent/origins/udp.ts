// STUB by "cli" until helper "udp" has written it.
import type { Clock } from "../../shared/clock.ts";
import type { OpenDatagrams } from "../../shared/datagrams.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import type { DialTarget } from "../../shared/socket.ts";
import type { Origin } from "../agent.ts";
import type { StreamEvent } from "../events.ts";

export interface UdpOriginOptions {
  readonly clock: Clock;
  readonly openDatagrams: OpenDatagrams;
  readonly target: DialTarget;
  readonly onStream: (event: StreamEvent) => void;
}

export class UdpOrigin implements Origin {
  constructor(_options: UdpOriginOptions) {}
  open(stream: Stream, _fields: Uint8Array): StreamHandler {
    stream.reset("kind-unknown");
    return stream.handler;
  }
}
