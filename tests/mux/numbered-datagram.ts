/** Its number, and then its low byte over and over: cut or joined ones show. */
export function numberedDatagram(number: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length).fill(number & 0xff);
  if (length >= 4) new DataView(bytes.buffer).setUint32(0, number);
  return bytes;
}
