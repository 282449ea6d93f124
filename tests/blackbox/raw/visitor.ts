import { Body } from "./body.ts";
import { Head } from "./head.ts";
import { Wire } from "./wire.ts";

/** Where a visitor goes: the port on this machine, and what it says in Host. */
export interface Target {
  readonly port: number;
  /** Of this machine; 127.0.0.1 where absent. */
  readonly address?: string;
  readonly host: string;
  /** By https, with what vouches for the certificate (PEM). */
  readonly ca?: string;
}

/** An answer whose head has arrived. `interim` holds the 1xx heads before it. */
export interface Answer {
  readonly interim: readonly Head[];
  readonly head: Head;
  readonly status: number;
  readonly body: Body;
}

/** A visitor that sends exactly the bytes it is given. */
export class Visitor {
  private constructor(
    readonly wire: Wire,
    readonly target: Target,
  ) {}

  static async connect(target: Target): Promise<Visitor> {
    const { port, address, host, ca } = target;
    const name = host.replace(/:\d+$/, "");
    return new Visitor(
      await (ca === undefined ? Wire.connect(port, address) : Wire.connectTls(port, name, ca)),
      target,
    );
  }

  /** Sends `text` in latin-1; `HOST` in it stands for the target's Host. */
  send(text: string): Promise<void> {
    return this.wire.send(text.replaceAll("HOST", this.target.host));
  }

  /** The next answer on this connection, when its head is there. A 101 is final. */
  async answer(method = "GET"): Promise<Answer> {
    const interim: Head[] = [];
    for (;;) {
      const head = await Head.read(this.wire);
      if (head.status >= 100 && head.status < 200 && head.status !== 101) {
        interim.push(head);
        continue;
      }
      return { interim, head, status: head.status, body: Body.ofResponse(this.wire, head, method) };
    }
  }

  close(): void {
    this.wire.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** One GET of its own connection, read to its end. */
export async function visit(
  target: Target,
  path = "/",
  fields: readonly string[] = [],
): Promise<{ head: Head; status: number; text: string; complete: boolean }> {
  using visitor = await Visitor.connect(target);
  await visitor.send(
    `GET ${path} HTTP/1.1\r\nHost: HOST\r\n${fields.map((line) => `${line}\r\n`).join("")}\r\n`,
  );
  const { head, status, body } = await visitor.answer();
  const text = await body.text();
  return { head, status, text, complete: body.complete };
}
