/** So many at once, and so many a second sustained. */
export class Allowance {
  private left: number;
  constructor(
    private readonly burst: number,
    private readonly perSecond: number,
    private sinceMs: number,
  ) {
    this.left = burst;
  }

  /** Takes one. false: there is none left now. */
  take(nowMs: number): boolean {
    const earned = ((nowMs - this.sinceMs) * this.perSecond) / 1_000;
    this.left = Math.min(this.burst, this.left + earned) - 1;
    this.sinceMs = nowMs;
    return this.left >= 0;
  }
}
