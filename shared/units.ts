import { UnderpassError } from "./errors.ts";

const durationUnits = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const sizeUnits = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
} as const;

/** `24h`, `30s`, `1h30m`, `500ms`, `0` to milliseconds. Throws `usage`. A number without unit is refused: of what? */
export function parseDuration(text: string): number {
  if (text === "0") return 0;
  const pieces = /^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+$/.test(text) ? text.match(/\d[\d.]*[a-z]+/g) : null;
  if (!pieces)
    throw new UnderpassError("usage", `'${text}' is not a duration. Write it like 500ms, 30s, 1h30m or 7d.`);
  let totalMs = 0;
  for (const piece of pieces) {
    const unit = piece.replace(/^[\d.]+/, "") as keyof typeof durationUnits;
    totalMs += Number.parseFloat(piece) * durationUnits[unit];
  }
  return exact(Math.round(totalMs), text);
}

/** `512MiB`, `64KiB`, `1.5GB`, `0` to bytes. Throws `usage`. `K`, `M`, `G` alone are refused: 1,000 or 1,024? */
export function parseSize(text: string): number {
  if (text === "0") return 0;
  const [, amount, unit] = /^(\d+(?:\.\d+)?)(B|[KMG]i?B)$/i.exec(text) ?? [];
  if (amount === undefined || unit === undefined) {
    throw new UnderpassError("usage", `'${text}' is not a size. Write it like 64KiB, 512MiB or 1GB.`);
  }
  const scale = sizeUnits[unit.toLowerCase() as keyof typeof sizeUnits];
  return exact(Math.round(Number.parseFloat(amount) * scale), text);
}

function exact(value: number, text: string): number {
  if (Number.isSafeInteger(value)) return value;
  throw new UnderpassError("usage", `'${text}' is too large.`);
}
