import { Head } from "../blackbox/raw/head.ts";
import { Wire } from "../blackbox/raw/wire.ts";

export interface RawEventLinkOptions {
  readonly port: number;
  readonly token?: string | undefined;
  /** After `/_underpass/links/`. */
  readonly path?: string;
  readonly minor?: 0 | 1;
  readonly without?: RegExp;
}

/** An agent's side of a link of events and POSTs, as bytes: nothing is answered, and nothing sent again, by itself. */
export class RawEventLink {
  id = "";
  secret = "";

  private constructor(
    readonly port: number,
    readonly wire: Wire,
    readonly head: Head,
  ) {}

  /** Asks; the answer's head is there. */
  static async ask(options: RawEventLinkOptions): Promise<RawEventLink> {
    const { port, token, path = "blue", minor = 1, without } = options;
    const wire = await Wire.connect(port);
    const lines = [
      `GET /_underpass/links/${path} HTTP/1.${minor}`,
      `Host: 127.0.0.1:${port}`,
      "Accept: text/event-stream",
      "Underpass-Protocol: underpass.1",
      ...(token === undefined ? [] : [`Authorization: Bearer ${token}`]),
    ].filter((line) => without === undefined || !without.test(line));
    await wire.send(`${lines.join("\r\n")}\r\n\r\n`);
    return new RawEventLink(port, wire, await Head.read(wire));
  }

  /** Asks for a link that must be there, and reads its opening. */
  static async open(options: RawEventLinkOptions): Promise<RawEventLink> {
    const link = await RawEventLink.ask(options);
    if (link.head.status !== 200) throw new Error(`${link.head.start}: ${await link.wire.rest()}`);
    const { name, data } = await link.event();
    const { link: id, secret } = JSON.parse(data) as { link: string; secret: string };
    if (name !== "open") throw new Error(`the first event is ${name}`);
    Object.assign(link, { id, secret });
    return link;
  }

  /** The next event or comment. */
  async event(): Promise<{ readonly name: string; readonly data: string }> {
    const lines = (await this.wire.until("\n\n")).split("\n");
    if (lines[0] === ":") return { name: ":", data: "" };
    const field = (name: string): string =>
      lines.flatMap((line) => (line.startsWith(`${name}: `) ? [line.slice(name.length + 2)] : [])).join("\n");
    return { name: field("event"), data: field("data") };
  }

  /** A POST's head, with the empty line. */
  postHead(
    number: number | string,
    length: number,
    more: Partial<Record<"id" | "secret" | "name" | "version", string>> = {},
  ): string {
    const { id = this.id, secret = this.secret, name = "blue", version = "1.1" } = more;
    const lines = [
      `POST /_underpass/posts/${name}/${id} HTTP/${version}`,
      `Host: 127.0.0.1:${this.port}`,
      `Underpass-Link-Secret: ${secret}`,
      `Underpass-Sequence: ${number}`,
      `Content-Length: ${length}`,
    ];
    return `${lines.join("\r\n")}\r\n\r\n`;
  }

  /** One POST on a socket of its own, or on `wire`. Returns the answer's status, and whether the socket is kept. */
  async post(
    number: number | string,
    body: Uint8Array,
    more: Parameters<RawEventLink["postHead"]>[2] & { readonly wire?: Wire } = {},
  ): Promise<{ readonly status: number; readonly kept: boolean }> {
    const wire = more.wire ?? (await Wire.connect(this.port));
    await wire.send(this.postHead(number, body.length, more));
    await wire.send(body);
    const head = await Head.read(wire);
    const kept = head.field("connection") !== "close";
    if (more.wire === undefined) wire.close();
    return { status: head.status, kept };
  }

  close(): void {
    this.wire.close();
  }
}
