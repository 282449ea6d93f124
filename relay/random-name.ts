import { adjectives, nouns } from "human-id";
import { UnderpassError } from "../shared/errors.ts";

/** Fills with random bytes fit for secrets, and returns what it was given. */
export type Random = (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>;

/** Two words give 15 bits (200 x 300), five of these 25: together 40.8. Without i, l, o, u: not misread, no words. */
const suffixLetters = "0123456789abcdefghjkmnpqrstvwxyz";
const suffixLength = 5;
/** A draw fails rarely; this bounds a `random` that is broken. */
const maxDraws = 16;

/** A name of at least 40 random bits: always two words and a suffix, so never one that a person would ask for. */
export function randomName(random: Random): string {
  let name = `${pick(adjectives, random)}-${pick(nouns, random)}-`;
  for (let i = 0; i < suffixLength; i++) name += pick(suffixLetters, random);
  return name;
}

/** One of at most 65,536, all equally likely: a draw from the uneven rest of the range is drawn again. */
function pick(from: ArrayLike<string>, random: Random): string {
  const fair = 65_536 - (65_536 % from.length);
  for (let draw = 0; draw < maxDraws; draw++) {
    const [high = 0, low = 0] = random(new Uint8Array(2));
    const drawn = high * 256 + low;
    if (drawn < fair) return from[drawn % from.length] ?? "";
  }
  throw new UnderpassError("internal-error", "The source of randomness is broken.");
}
