import { UnderpassError } from "../errors.ts";
import type { DialFailure, ListenOptions } from "../socket.ts";

const failures: Readonly<Record<string, DialFailure>> = {
  ECONNREFUSED: "refused",
  // A unix socket that is not there: nothing listens.
  ENOENT: "refused",
  ENOTFOUND: "not-found",
  EAI_AGAIN: "not-found",
  EAI_NONAME: "not-found",
  EAI_NODATA: "not-found",
  DNS_ENOTFOUND: "not-found",
  ETIMEDOUT: "timeout",
  EHOSTUNREACH: "unreachable",
  ENETUNREACH: "unreachable",
  EADDRNOTAVAIL: "unreachable",
};

/** Which failure a system's error of dialling stands for, by its `code`. */
export function dialFailure(error: unknown): DialFailure {
  if (typeof error !== "object" || error === null || !("code" in error)) return "failed";
  return (typeof error.code === "string" && failures[error.code]) || "failed";
}

/** `address:port`, IPv6 in brackets, an IPv4 address that came over an IPv6 socket as plain IPv4; "" for unix sockets. */
export function addressText(address: string | undefined, port: number | undefined): string {
  if (address === undefined || address === "" || port === undefined) return "";
  if (!address.includes(":")) return `${address}:${port}`;
  return address.startsWith("::ffff:") && address.includes(".")
    ? `${address.slice(7)}:${port}`
    : `[${address}]:${port}`;
}

/** Why a listener could not be opened, as an error that says what to do. */
export function listenFailure(options: ListenOptions, cause: unknown): UnderpassError {
  const place = `${options.host}:${options.port}`;
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  if (options.tls !== undefined && code !== "EADDRINUSE" && code !== "EACCES") {
    const detail = cause instanceof Error ? cause.message : String(cause);
    return new UnderpassError("usage", `The certificate or its key can't be used: ${detail}`, { cause });
  }
  const why =
    code === "EACCES"
      ? "This user may not use that port."
      : "It is taken, or not an address of this machine.";
  return new UnderpassError("port-in-use", `Can't listen on ${place}. ${why}`, { cause });
}
