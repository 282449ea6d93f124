// STUB by the lead, to be replaced by helper "udp": this is the shape that relay/ingress/bytes.ts calls.
import type { Clock } from "../../shared/clock.ts";
import type { OpenDatagrams } from "../../shared/datagrams.ts";
import { type Code, UnderpassError } from "../../shared/errors.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";

export interface UdpIngressOptions {
  readonly clock: Clock;
  readonly openDatagrams: OpenDatagrams;
  readonly address: { readonly host: string; readonly port: number };
  readonly open: (fields: Uint8Array, handler: StreamHandler) => Stream | undefined;
  readonly onFlow: (end: { bytesIn: number; bytesOut: number; ms: number; code?: Code }) => void;
}

export class UdpIngress {
  static async open(_options: UdpIngressOptions): Promise<UdpIngress> {
    throw new UnderpassError("port-in-use");
  }
  tryAgain(): void {}
  close(): void {}
}
