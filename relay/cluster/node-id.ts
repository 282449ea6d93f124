/** Of a relay's process: it stands at the beginning of the ids of its sessions. */
const nodeIdForm = /^[a-z0-9]{8}/;

/** The process that has the session; undefined: an id of a relay without cluster. */
export function nodeOfSession(session: string): string | undefined {
  return nodeIdForm.exec(session)?.[0];
}

/** Random, of 40 bits: `random` fills what it is given. */
export function newNodeId(random: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>): string {
  const letters = "abcdefghijklmnopqrstuvwxyz012345";
  return Array.from(random(new Uint8Array(8)), (byte) => letters[byte & 31]).join("");
}
