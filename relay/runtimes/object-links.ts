import { MessageSocketLink, type MessageSocketOptions } from "../../shared/links/message-socket.ts";

/** What stands on a socket of which nothing is kept: its session has something under way. */
const nothing = { kept: false } as const;

/** A link whose WebSocket the platform keeps while the object sleeps. */
export class ObjectLink extends MessageSocketLink {
  constructor(
    private readonly socket: WorkersSocket,
    private readonly ctx: DurableObjectState,
    private readonly object: { readonly calledUrl: string },
    options: MessageSocketOptions,
  ) {
    super(socket, options);
  }

  /** What does not fit (16 KiB) counts as nothing: a token with very long lists costs its session at each sleep. */
  attach(value: unknown): void {
    try {
      this.socket.serializeAttachment(
        value === undefined ? nothing : { kept: true, value, calledUrl: this.object.calledUrl },
      );
    } catch {
      this.socket.serializeAttachment(nothing);
    }
  }

  /** A socket that is closing is still the object's: its session must not be taken up on it. */
  override close(code: number, reason: string): void {
    this.attach(undefined);
    super.close(code, reason);
  }

  override destroy(): void {
    this.attach(undefined);
    super.destroy();
  }

  /** No session has come of it yet. */
  get isNew(): boolean {
    return this.socket.deserializeAttachment() === null;
  }

  get attached(): unknown {
    return this.attachment?.value;
  }

  /** What `ObjectLinks.calledUrl` was when that was kept. */
  get calledUrl(): string | undefined {
    return this.attachment?.calledUrl;
  }

  private get attachment(): { readonly value: unknown; readonly calledUrl: string } | undefined {
    const attachment = this.socket.deserializeAttachment() as {
      kept?: boolean;
      value?: unknown;
      calledUrl?: string;
    } | null;
    if (attachment?.kept !== true) return undefined;
    return { value: attachment.value, calledUrl: attachment.calledUrl ?? "" };
  }

  get answeredMs(): number | undefined {
    return this.ctx.getWebSocketAutoResponseTimestamp(this.socket)?.getTime();
  }
}

/** The links of an object by their WebSockets, whose events come to the object itself. */
export class ObjectLinks {
  /** How the last agent called the relay; addresses are made of it where there is no public URL. Kept with each link. */
  calledUrl = "";
  private readonly bySocket = new WeakMap<WorkersSocket, ObjectLink>();

  constructor(
    private readonly ctx: DurableObjectState,
    private readonly options: MessageSocketOptions,
  ) {}

  /** Those that are from before the object slept, but for those that were closed: the platform keeps them until the agent answers. */
  all(): ObjectLink[] {
    const open = this.ctx.getWebSockets().filter(({ readyState }) => readyState === WebSocket.OPEN);
    const links = open.map((socket) => this.of(socket));
    for (const { calledUrl = "" } of links) this.calledUrl ||= calledUrl;
    return links;
  }

  /** Accepts an upgrade. */
  open(headers: Headers): { readonly link: ObjectLink; readonly response: Response } {
    const pair = new WebSocketPair();
    this.ctx.acceptWebSocket(pair[1]);
    const link = this.of(pair[1]);
    return { link, response: new Response(null, { status: 101, headers, webSocket: pair[0] }) };
  }

  of(socket: WorkersSocket): ObjectLink {
    let link = this.bySocket.get(socket);
    if (link === undefined) {
      link = new ObjectLink(socket, this.ctx, this, this.options);
      this.bySocket.set(socket, link);
    }
    return link;
  }
}
