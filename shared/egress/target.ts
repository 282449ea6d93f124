import { type Host, hostText, parseHost } from "./host.ts";

/** What a stream asks to reach. */
export interface Target {
  readonly host: Host;
  /** 1 to 65535. */
  readonly port: number;
}

/** `HOST:PORT` (PROTOCOL.md section 7), HOST a name, an IPv4 address or `[IPv6]`. undefined: not of that form. */
export function parseTarget(text: string): Target | undefined {
  const [, hostPart = "", digits = ""] = /^([^\0]*):([1-9]\d{0,4})$/s.exec(text) ?? [];
  const port = Number(digits);
  if (port < 1 || port > 65_535) return undefined;
  const host = parseHost(hostPart);
  return host && { host, port };
}

/** In canonical form: for logs, and to pass on. */
export function targetText({ host, port }: Target): string {
  return `${hostText(host)}:${port}`;
}
