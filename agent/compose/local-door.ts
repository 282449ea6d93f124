/** What this machine's programs call, while it is open: the listener of connect, proxy or forward. */
export interface LocalDoor {
  /** The address to give away first. */
  readonly urls: readonly string[];
  /** Exchanges that are open now. */
  readonly openStreams: number;
  /** Takes no more, lets what is open finish for `graceMs`, and breaks off the rest. Idempotent. */
  close(graceMs: number): Promise<void>;
}

/** `tcp://127.0.0.1:5000`, of what is bound. */
export function localUrl(
  scheme: string,
  { host, port }: { readonly host: string; readonly port: number },
): string {
  return `${scheme}://${host.includes(":") ? `[${host}]` : host}:${port}`;
}
