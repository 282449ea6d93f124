import { UnderpassError } from "./errors.ts";

/** Where to listen. */
export interface ListenAddress {
  /** Without brackets. */
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
}

/** `127.0.0.1:8787`, `[::1]:0`, `localhost:8787`. Throws `usage`: a port alone would leave open who may reach it. */
export function parseListenAddress(text: string): ListenAddress {
  const [, bracketed, plain, digits] = /^(?:\[([0-9a-fA-F:.%]+)\]|([\w.-]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits);
  if (host === undefined || !(port <= 65_535)) {
    throw new UnderpassError(
      "usage",
      `'${text}' is not HOST:PORT. Write it like 127.0.0.1:8787 or [::]:8787.`,
    );
  }
  return { host, port };
}
