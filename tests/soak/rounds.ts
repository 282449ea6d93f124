import type { Figures } from "./figures.ts";

/** A program's figure, without the tunnel and through it; more is better. */
export interface Ways {
  direct(): Promise<number>;
  tunnel(): Promise<number>;
}

/** Before the rounds: for what is compiled on the way. */
const warmUps = 1;
const rounds = 3;

/**
 * Runs both ways in turn (A B, then B A), so that a machine which gets slower meanwhile favours nobody, and notes the
 * medians. There is no bar: what has failed has thrown.
 */
export async function compare(figures: Figures, name: string, unit: string, ways: Ways): Promise<void> {
  for (let i = 0; i < warmUps; i++) await ways.tunnel();
  const direct: number[] = [];
  const tunnel: number[] = [];
  for (let round = 0; round < rounds; round++) {
    if (round % 2 === 0) direct.push(await ways.direct());
    tunnel.push(await ways.tunnel());
    if (round % 2 === 1) direct.push(await ways.direct());
  }
  const [without, through] = [median(direct), median(tunnel)];
  figures.note(name, {
    unit,
    direct: rounded(without),
    tunnel: rounded(through),
    ratio: rounded(through / without),
    rounds: { direct: direct.map(rounded), tunnel: tunnel.map(rounded) },
  });
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

/** To three digits. */
function rounded(value: number): number {
  return Number(value.toPrecision(3));
}
