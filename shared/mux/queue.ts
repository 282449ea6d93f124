/** First in, first out, without the cost of Array.shift. */
export class Queue<T> {
  private items: (T | undefined)[] = [];
  private start = 0;

  get length(): number {
    return this.items.length - this.start;
  }

  push(item: T): void {
    this.items.push(item);
  }

  peek(): T | undefined {
    return this.items[this.start];
  }

  get last(): T | undefined {
    return this.length === 0 ? undefined : this.items[this.items.length - 1];
  }

  /** The `place`th from the front, from 0. */
  at(place: number): T | undefined {
    return this.items[this.start + place];
  }

  shift(): T | undefined {
    if (this.start === this.items.length) return undefined;
    const item = this.items[this.start];
    this.items[this.start++] = undefined;
    if (this.start === this.items.length) {
      this.items.length = 0;
      this.start = 0;
    } else if (this.start > 1_024 && this.start * 2 > this.items.length) {
      this.items = this.items.slice(this.start);
      this.start = 0;
    }
    return item;
  }

  /** Puts `item` back in front of all others, after a `shift`. */
  unshift(item: T): void {
    if (this.start > 0) this.items[--this.start] = item;
    else this.items.unshift(item);
  }

  clear(): void {
    this.items = [];
    this.start = 0;
  }
}
