import dgram from "node:dgram";

/** What a name resolves to: one list of addresses for each look-up; the last one again after it. */
export type Zone = Readonly<Record<string, readonly (readonly string[])[]>>;

const types = { a: 1, aaaa: 28 } as const;
const notFound = 3;

/** A DNS server (RFC 1035) for one zone, that lets nobody keep its answers. */
export class NameServer {
  readonly #zone: Zone;
  readonly #socket = dgram.createSocket("udp4");
  /** Questions, by name and type: resolvers ask for both families at once. */
  readonly #asked = new Map<string, number>();

  private constructor(zone: Zone) {
    this.#zone = zone;
    this.#socket.on("message", (question, { address, port }) => {
      this.#socket.send(this.#answer(question), port, address);
    });
  }

  static async listen(zone: Zone, host: string, port: number): Promise<NameServer> {
    const server = new NameServer(zone);
    await new Promise<void>((resolve) => server.#socket.bind(port, host, resolve));
    return server;
  }

  /** How often an address of `name` was asked for. */
  lookups(name: string): number {
    return this.#asked.get(`${name} ${types.a}`) ?? 0;
  }

  close(): void {
    this.#socket.close();
  }

  #answer(question: Uint8Array): Buffer {
    const { name, type, to } = readQuestion(question);
    const asked = this.#asked.get(`${name} ${type}`) ?? 0;
    this.#asked.set(`${name} ${type}`, asked + 1);
    const lists = this.#zone[name];
    const list = lists?.[asked] ?? lists?.at(-1) ?? [];
    const records = list
      .filter((address) => type === (address.includes(":") ? types.aaaa : types.a))
      .map((address) => record(type, address));
    const head = Buffer.alloc(12);
    head.set(question.subarray(0, 2));
    // An answer, from the authority, recursion as it was asked for.
    head.writeUInt16BE(0x8580 | (lists === undefined ? notFound : 0), 2);
    head.writeUInt16BE(1, 4);
    head.writeUInt16BE(records.length, 6);
    return Buffer.concat([head, question.subarray(12, to), ...records]);
  }
}

function readQuestion(message: Uint8Array): { name: string; type: number; to: number } {
  const labels: string[] = [];
  let at = 12;
  for (;;) {
    const length = message[at] ?? 0;
    at++;
    if (length === 0) break;
    labels.push(new TextDecoder().decode(message.subarray(at, at + length)));
    at += length;
  }
  const type = ((message[at] ?? 0) << 8) | (message[at + 1] ?? 0);
  return { name: labels.join(".").toLowerCase(), type, to: at + 4 };
}

/** With the name of the question, and no time to live. */
function record(type: number, address: string): Buffer {
  const bytes = type === types.a ? address.split(".").map(Number) : v6Bytes(address);
  return Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 0, 0, bytes.length, ...bytes]);
}

function v6Bytes(address: string): number[] {
  const inner = new URL(`http://[${address}]/`).hostname.slice(1, -1);
  const [front = "", back] = inner.split("::");
  const groups = (text: string | undefined) => (text ? text.split(":") : []);
  const [before, after] = [groups(front), groups(back)];
  const zeros = new Array<string>(8 - before.length - after.length).fill("0");
  return [...before, ...zeros, ...after].flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >>> 8, value & 0xff];
  });
}
