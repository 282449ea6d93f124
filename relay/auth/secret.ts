import { UnderpassError } from "../../shared/errors.ts";

/** The least an HS256 key may have: as many bytes as the hash (RFC 7518 section 3.2). */
export const minSecretBytes = 32;

/** The key in a file or variable: its UTF-8 bytes less one trailing newline. Throws `secret-invalid` when too short. */
export function secretFromText(text: string): Uint8Array {
  const secret = new TextEncoder().encode(text.replace(/\r?\n$/, ""));
  if (secret.length < minSecretBytes) {
    throw new UnderpassError(
      "secret-invalid",
      `The relay's secret must have at least ${minSecretBytes} bytes, this one has ${secret.length}.`,
    );
  }
  return secret;
}
