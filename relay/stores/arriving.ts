/** Agents that have said HELLO here, and on whose place the relays are agreeing: as often as they have. */
export class Arriving {
  /** Instances by name. */
  readonly #byName = new Map<string, readonly string[]>();

  has(name: string): boolean {
    return this.#byName.has(name);
  }
  includes(name: string, instance: string): boolean {
    return this.#byName.get(name)?.includes(instance) === true;
  }
  add(name: string, instance: string): void {
    this.#byName.set(name, [...(this.#byName.get(name) ?? []), instance]);
  }
  remove(name: string, instance: string): void {
    const instances = this.#byName.get(name) ?? [];
    const rest = instances.toSpliced(instances.indexOf(instance), 1);
    if (rest.length > 0) this.#byName.set(name, rest);
    else this.#byName.delete(name);
  }
}
