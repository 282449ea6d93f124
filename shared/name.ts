/** A tunnel's name: one DNS label in lower case, because it becomes part of a Host. PROTOCOL.md section 1. */
export function isName(text: string): boolean {
  return /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(text);
}
