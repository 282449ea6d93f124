/** What a name resolves to: one list for each look-up, the last one again after it. */
export type NameZone = Readonly<Record<string, readonly (readonly string[])[]>>;

const types: Readonly<Record<string, number>> = { A: 1, AAAA: 28 };
const statuses = { fine: 0, noSuchName: 3 } as const;

/** Answers DNS over HTTPS in JSON, by plain HTTP on loopback. Names that it does not have it says are not there. */
export class NameService {
  /** `NAME TYPE` of each question, in order. */
  readonly asked: string[] = [];
  readonly #listener: Bun.Server<undefined>;

  private constructor(private readonly zone: NameZone) {
    this.#listener = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: (request) => this.answer(request) });
  }

  static listen(zone: NameZone = {}): NameService {
    return new NameService(zone);
  }

  get url(): string {
    return `http://127.0.0.1:${this.#listener.port}/dns-query`;
  }

  close(): Promise<void> {
    return this.#listener.stop(true);
  }

  private answer(request: Request): Response {
    const { searchParams } = new URL(request.url);
    const [name, type] = [searchParams.get("name") ?? "", searchParams.get("type") ?? ""];
    if (request.headers.get("accept") !== "application/dns-json")
      return new Response("what for?", { status: 400 });
    const question = `${name} ${type}`;
    const round = this.asked.filter((each) => each === question).length;
    this.asked.push(question);
    const found = this.zone[name]?.[round] ?? this.zone[name]?.at(-1);
    const texts = (found ?? []).filter((text) => text.includes(":") === (type === "AAAA"));
    return Response.json({
      Status: found === undefined ? statuses.noSuchName : statuses.fine,
      Question: [{ name, type: types[type] }],
      Answer: [
        // As where a name stands for another one.
        { name, type: 5, TTL: 60, data: `other.${name}.` },
        ...texts.map((data) => ({ name: `other.${name}.`, type: types[type], TTL: 60, data })),
      ],
    });
  }
}
