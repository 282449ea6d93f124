import { UnderpassError } from "../../shared/errors.ts";

/** The cluster that a relay is one of, checked. */
export interface ClusterOptions {
  /** Of the bus, `nats://`, `tls://`, `ws://` or `wss://`; they may hold a password or a token. */
  readonly urls: readonly string[];
  /** A NATS .creds file. */
  readonly credentialsFile?: string;
  /** Relays of one name on one bus are one cluster. */
  readonly name: string;
  /** Where neighbours, and agents that spread, reach this relay directly: an origin, its port perhaps 0. Absent: over the bus alone. */
  readonly advertise?: string;
}

/** NATS itself, and NATS by WebSocket. */
const schemes = ["nats:", "tls:", "ws:", "wss:"];
export const defaultClusterName = "underpass";

/** Each takes a switch's text, or a variable's, and throws `usage`, without what might be a password. */
export function checkedBusUrl(text: string, { inArgv }: { readonly inArgv: boolean }): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (text.includes("@") && inArgv)
    throw new UnderpassError(
      "usage",
      "--cluster: everybody on this machine can read a command line. Give the address with its password or token in UNDERPASS_CLUSTER, or without it and a --cluster-credentials FILE.",
    );
  if (
    url === undefined ||
    !schemes.includes(url.protocol) ||
    url.hostname === "" ||
    !/^\/?$/.test(url.pathname) ||
    url.search !== "" ||
    url.hash !== ""
  ) {
    // A comma in a password divides it: what stands before it has no @.
    const shown = inArgv ? `'${text}'` : "an address in UNDERPASS_CLUSTER";
    throw new UnderpassError("usage", `--cluster: ${shown} is not like nats://nats.example:4222.`);
  }
  return text.replace(/\/$/, "");
}

export function checkedClusterName(text: string): string {
  if (/^[a-z0-9-]{1,32}$/.test(text)) return text;
  throw new UnderpassError("usage", `--cluster-name: '${text}' is not 1 to 32 of a-z, 0-9 and -.`);
}

export function checkedAdvertise(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isHttp = url?.protocol === "http:" || url?.protocol === "https:";
  const bare = url?.pathname === "/" && !url.search && !url.hash && !url.username && !url.password;
  if (isHttp && bare && url.hostname !== "0.0.0.0" && url.hostname !== "[::]") return url.origin;
  const shown = text.includes("@") ? "an address with a user" : `'${text}'`;
  throw new UnderpassError(
    "usage",
    `--advertise: ${shown} is not where others reach this relay, like http://10.0.0.1:8787, without path.`,
  );
}

/** `port`: where the relay listens, for an address whose port was given as 0. */
export function advertisedUrl(advertise: string, port: number): string {
  const url = new URL(advertise);
  if (url.port === "0") url.port = String(port);
  return url.origin;
}
