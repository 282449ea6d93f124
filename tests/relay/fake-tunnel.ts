import { Metrics } from "../../relay/metrics.ts";
import { TunnelWay, type WayDeps } from "../../relay/tunnel-way.ts";
import type { Tunnel } from "../../relay/tunnels.ts";
import type { Code } from "../../shared/errors.ts";
import { decodeHead, encodeHead } from "../../shared/head.ts";
import { Hold, type HoldLimits, holdLimits } from "../../shared/hold.ts";
import { decodeLatin1, encodeLatin1 } from "../../shared/http1/latin1.ts";
import { streamKinds } from "../../shared/kind.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import type { PassageDeps } from "../../shared/passage.ts";
import { VirtualClock } from "../agent/virtual-clock.ts";

/** A stream that a relay opened, without a session: keeps what was said on it, in order. */
export class OpenedStream {
  body = "";
  trailers = "";
  /** `END`, `LEFT` and what else came, each once it came: the order matters. */
  readonly said: string[] = [];
  closed = false;
  resetCode: Code | undefined;
  heldBytes = 0;
  /** How long each datagram was. */
  readonly datagrams: number[] = [];
  /** Its session has no link. */
  isStuck = false;
  private readonly whenOver = Promise.withResolvers<void>();
  readonly queued = 0;
  readonly window = 65_536;
  /** `write` says false above this. */
  highBytes = Number.POSITIVE_INFINITY;

  constructor(
    readonly opening: string,
    public handler: StreamHandler,
    private readonly forget: (stream: OpenedStream) => void,
  ) {}

  get stream(): Stream {
    return this as unknown as Stream;
  }

  head(fields: Uint8Array): void {
    this.trailers += decodeLatin1(decodeHead(fields)?.trailers ?? fields);
    this.said.push("TRAILERS");
  }
  write(bytes: Uint8Array): boolean {
    this.body += decodeLatin1(bytes);
    return this.body.length <= this.highBytes;
  }
  give(bytes: Uint8Array<ArrayBuffer>): boolean {
    const more = this.write(bytes);
    bytes.buffer.transfer(0);
    return more;
  }
  datagram(payload: Uint8Array): boolean {
    if (this.isStuck || this.closed) return false;
    this.datagrams.push(payload.length);
    return true;
  }
  end(): void {
    if (!this.said.includes("END")) this.said.push("END");
    this.whenOver.resolve();
  }
  /** Resolves when the visitor's direction has ended. */
  get over(): Promise<void> {
    return this.whenOver.promise;
  }
  left(): void {
    if (this.said.includes("END") && !this.said.includes("LEFT")) this.said.push("LEFT");
  }
  reset(code: Code): void {
    if (this.closed) return;
    this.resetCode = code;
    this.close();
  }
  held(bytes: number): void {
    this.heldBytes = bytes;
  }

  /** The peer, or the session, ends it. */
  fails(code: Code): void {
    if (this.closed) return;
    this.close();
    this.handler.reset(code);
  }

  /** The agent answers, and the exchange is over. */
  answers(body: string, lines: readonly string[] = []): void {
    const head = ["HTTP/1.1 200 OK", `Content-Length: ${body.length}`, ...lines];
    this.handler.head(encodeHead({ http: encodeLatin1(head.map((line) => `${line}\r\n`).join("")) }));
    if (body !== "") this.handler.data(encodeLatin1(body));
    this.handler.end();
    this.close();
  }

  /** The agent agrees to an upgrade. */
  switches(): void {
    const head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n";
    this.handler.head(encodeHead({ http: encodeLatin1(head) }));
  }

  private close(): void {
    this.closed = true;
    this.forget(this);
  }
}

/** One tunnel, whose agents come and go as the test says. */
export class FakeTunnel implements Tunnel {
  readonly name = "blue";
  /** Streams that it takes at once; 0: no agent. */
  room = 0;
  expected = true;
  /** Of the streams to come. */
  nextHighBytes = Number.POSITIVE_INFINITY;
  /** All that were opened, oldest first. */
  readonly streams: OpenedStream[] = [];
  openStreams = 0;
  /** A full session. */
  reachable = false;

  reaches(): boolean {
    return this.reachable;
  }
  serves(): boolean {
    return true;
  }

  open(_service: string, _kind: number, fields: Uint8Array, handler: StreamHandler): Stream | undefined {
    if (this.openStreams >= this.room) return undefined;
    this.openStreams++;
    const opening = decodeLatin1(decodeHead(fields)?.http ?? fields);
    const stream = new OpenedStream(opening, handler, () => this.openStreams--);
    stream.highBytes = this.nextHighBytes;
    this.streams.push(stream);
    return stream.stream;
  }

  get last(): OpenedStream {
    const stream = this.streams.at(-1);
    if (stream === undefined) throw new Error("no stream was opened");
    return stream;
  }
}

/** What a passage, or an ingress, needs: one tunnel, a hold, virtual time. */
export class HoldSetUp {
  readonly clock = new VirtualClock();
  readonly tunnel = new FakeTunnel();
  readonly metrics = new Metrics();
  readonly hold: Hold;
  readonly deps: PassageDeps & WayDeps & { readonly metrics: Metrics };

  constructor(limits: Partial<HoldLimits> = {}) {
    const { clock, metrics, tunnel } = this;
    this.hold = new Hold({ clock, metrics }, { ...holdLimits, ...limits });
    this.deps = {
      clock,
      metrics,
      hold: this.hold,
      tunnels: {
        find: (name) => (name === tunnel.name ? tunnel : undefined),
        expects: (name) => name === tunnel.name && tunnel.expected,
      },
      names: { lookup: () => undefined },
    };
  }

  /** To a tunnel of that name. */
  way(name = "blue"): TunnelWay {
    return new TunnelWay(this.deps, name, "http", streamKinds.http);
  }

  /** An agent with room for so many streams. */
  agentComes(room = Number.POSITIVE_INFINITY): void {
    this.tunnel.room = this.tunnel.openStreams + room;
    this.hold.tryAgain(this.tunnel.name);
  }
  agentLeaves(): void {
    this.tunnel.room = 0;
  }
  agentSaysBye(): void {
    this.agentLeaves();
    this.tunnel.expected = false;
    this.hold.tryAgain(this.tunnel.name);
  }
}
