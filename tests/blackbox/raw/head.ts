import type { Wire } from "./wire.ts";

export type Field = readonly [name: string, value: string];

/** A head as it stood on the wire: case, order and duplicates kept, values without the blanks around them. */
export class Head {
  constructor(
    readonly start: string,
    readonly fields: readonly Field[],
  ) {}

  static parse(text: string): Head {
    const [start = "", ...lines] = text.split("\r\n");
    return new Head(start, parseFields(lines));
  }

  static async read(wire: Wire): Promise<Head> {
    return Head.parse(await wire.until("\r\n\r\n"));
  }

  /** All values of a field, whatever its case. */
  all(name: string): string[] {
    return this.fields.filter(([n]) => n.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
  }

  field(name: string): string | undefined {
    return this.all(name)[0];
  }

  /** Of a response. */
  get status(): number {
    return Number(this.start.split(" ")[1]);
  }

  /** Of a request. */
  get method(): string {
    return this.start.split(" ")[0] ?? "";
  }

  /** Of a request: the raw target. */
  get target(): string {
    return this.start.split(" ")[1] ?? "";
  }
}

export function parseFields(lines: readonly string[]): Field[] {
  return lines
    .filter((line) => line !== "")
    .map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon), line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, "")] as const;
    });
}
