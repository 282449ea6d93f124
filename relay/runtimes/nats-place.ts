import { UnderpassError } from "../../shared/errors.ts";

/** Where one server of NATS listens, and as whom to come. */
export interface NatsPlace {
  /** `HOST:PORT`: the only part that may be shown or logged. */
  readonly host: string;
  /** How it is dialled: without user information. */
  readonly url: string;
  readonly transport: "tcp" | "ws";
  /** tls: one that offers no TLS is refused. ws and wss say it by their scheme. */
  readonly isSecure: boolean;
  readonly user?: { readonly name: string; readonly password: string } | { readonly token: string };
}

const ports: Readonly<Record<string, number>> = { nats: 4222, tls: 4222, ws: 80, wss: 443 };

/**
 * Reads `nats://a:4222,nats://b:4222`; also `tls:`, `ws:` and `wss:`. `USER:PASSWORD@` or `TOKEN@` of the first that has
 * it is for those that have none. Throws `usage`, without what was given.
 */
export function readNatsPlaces(urls: string): readonly NatsPlace[] {
  const places = urls.split(",").map((url) => readPlace(url.trim()));
  if (new Set(places.map(({ transport }) => transport)).size > 1) {
    throw new UnderpassError("usage", "The servers of NATS are reached all by WebSocket, or none.");
  }
  const user = places.find((place) => place.user !== undefined)?.user;
  return places.map((place) => ({ ...(user !== undefined && { user }), ...place }));
}

function readPlace(text: string): NatsPlace {
  const [, scheme = "", rest = ""] = /^([a-z]+):\/\/([^/?#]+)\/?$/.exec(text) ?? [];
  const defaultPort = ports[scheme];
  // Of schemes that it knows, `URL` makes one form of all ways to write a host, and drops their ports.
  const url = defaultPort === undefined ? null : URL.parse(`http://${rest}`);
  if (defaultPort === undefined || url === null) {
    throw new UnderpassError("usage", "A server of NATS is given as nats://HOST:PORT, tls:, ws: or wss:.");
  }
  const port = url.port !== "" ? Number(url.port) : rest.endsWith(":80") ? 80 : defaultPort;
  const host = `${url.hostname}:${port}`;
  const isWebSocket = scheme === "ws" || scheme === "wss";
  const [name, password] = [url.username, url.password].map(decoded) as [string, string];
  return {
    host,
    url: `${isWebSocket ? scheme : "nats"}://${host}`,
    transport: isWebSocket ? "ws" : "tcp",
    isSecure: scheme === "tls" || scheme === "wss",
    ...(name !== "" && { user: password === "" ? { token: name } : { name, password } }),
  };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new UnderpassError("usage", "In the user and the password of NATS, % is written as %25.");
  }
}
