/** The figures of a soak run: each is asserted where it stands, and all are printed at the end as one JSON object. */
export class Figures {
  readonly #values: Record<string, unknown> = {};

  note(name: string, value: unknown): void {
    this.#values[name] = value;
    console.error(`${name}: ${JSON.stringify(value)}`);
  }

  print(): void {
    console.log(JSON.stringify(this.#values, null, 2));
  }
}
