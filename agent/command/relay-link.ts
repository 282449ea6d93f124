import { UnderpassError } from "../../shared/errors.ts";
import { quotedAddress } from "../screen/screen-text.ts";

/** Over what an agent's links go: `auto` is a WebSocket, and SSE with POSTs where none can be had. */
export type TransportChoice = (typeof transportChoices)[number];
export const transportChoices = ["auto", "ws", "sse"] as const;

/** Where the token comes from; a file is read anew before each dial. */
export type TokenSource = { readonly value: string } | { readonly file: string };

/** How an agent reaches its relay, or several of one cluster, and holds on, checked: the same for all tunnels of one agent, and for connect and proxy. */
export interface RelayLink {
  /** At least one, the preferred first. Absent: a relay is embedded. */
  readonly relays?: readonly URL[];
  /** Absent where none was given: the relay then says what it wants. */
  readonly token?: TokenSource;
  /** Send the token over plain http to other machines too. */
  readonly insecure: boolean;
  /** Links at once, each with a session of its own. */
  readonly links: number;
  readonly transport: TransportChoice;
  /** Under `auto`, how often a WebSocket is tried again while the links go without. */
  readonly websocketRetryMs: number;
  readonly reconnect: boolean;
  readonly maxReconnectDelayMs: number;
}

/** The same as asked for by the command line, the environment or underpass.yaml. What is absent has its default. */
export interface RelayLinkWish {
  readonly relays?: readonly string[] | undefined;
  readonly token?: TokenSource | undefined;
  readonly insecure?: boolean | undefined;
  readonly links?: number | undefined;
  readonly transport?: string | undefined;
  readonly websocketRetryMs?: number | undefined;
  readonly reconnect?: boolean | undefined;
  readonly maxReconnectDelayMs?: number | undefined;
}

export const relayLinkDefaults = {
  links: 2,
  transport: "auto",
  websocketRetryMs: 30_000,
  maxReconnectDelayMs: 30_000,
} as const;

/** Links of one agent: more bring nothing, and cost the relay a session each. */
export const maxLinks = 8;

/** Relays to begin with: they name the others of their cluster. */
export const maxRelays = 8;

/**
 * Checks what was asked for. `mark` stands before the names of switches in complaints: `--` on the command line.
 * Throws UnderpassError `usage`, or `insecure-relay` where a token would travel readable.
 */
export function checkRelayLink(wish: RelayLinkWish, mark: string): RelayLink {
  const { relays, token, insecure = false, links = relayLinkDefaults.links } = wish;
  const { transport = relayLinkDefaults.transport } = wish;
  if (!(Number.isInteger(links) && links >= 1 && links <= maxLinks))
    fail(`${mark}links ${links}: give a whole number from 1 to ${maxLinks}.`);
  if (relays !== undefined && (relays.length === 0 || relays.length > maxRelays))
    fail(`${mark}relay: give 1 to ${maxRelays} of them.`);
  const chosen = transportChoices.find((choice) => choice === transport);
  if (chosen === undefined)
    fail(`${mark}transport ${JSON.stringify(transport)}: give ${transportChoices.join(", ")}.`);
  return {
    ...(relays !== undefined && { relays: relays.map((relay) => checkRelay(relay, { insecure, mark })) }),
    ...(token !== undefined && { token }),
    insecure,
    links,
    transport: chosen,
    websocketRetryMs: wish.websocketRetryMs ?? relayLinkDefaults.websocketRetryMs,
    reconnect: wish.reconnect ?? true,
    maxReconnectDelayMs: wish.maxReconnectDelayMs ?? relayLinkDefaults.maxReconnectDelayMs,
  };
}

function checkRelay(text: string, options: { readonly insecure: boolean; readonly mark: string }): URL {
  const { insecure, mark } = options;
  const url = URL.parse(text);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    fail(`${mark}relay ${quotedAddress(text)}: give a URL such as https://relay.example`);
  }
  if (url.username !== "" || url.password !== "")
    fail(`${mark}relay: a credential has no place in a URL. Use ${mark}token-file.`);
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "") {
    fail(`${mark}relay ${quotedAddress(text)}: give only scheme, host and port.`);
  }
  if (url.protocol === "http:" && !insecure && !isLoopback(url.hostname)) {
    throw new UnderpassError(
      "insecure-relay",
      `${url.origin}: a token is sent over plain http to this machine only. Use https://, or give ${mark}insecure.`,
    );
  }
  return url;
}

/** Whether a host, with or without brackets, is this machine itself (RFC 6761, RFC 5735). */
export function isLoopback(host: string): boolean {
  return /^(?:localhost|::1|\[::1\])$/.test(host) || /^127(?:\.\d{1,3}){3}$/.test(host);
}

function fail(message: string): never {
  throw new UnderpassError("usage", message);
}
