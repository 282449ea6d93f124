/** A number of bytes that are held: now, and at most so far. Whoever holds adds, and takes away what has gone. */
export class Gauge {
  now = 0;
  most = 0;

  /** `whole`: what this is a part of, and counts there too. */
  constructor(private readonly whole?: Gauge) {}

  add(bytes: number): void {
    this.now += bytes;
    if (this.now > this.most) this.most = this.now;
    this.whole?.add(bytes);
  }
}
