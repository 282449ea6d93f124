import { UnderpassError } from "../../shared/errors.ts";
import { type Kind, kinds } from "../../shared/kind.ts";
import type { ListenAddress } from "../../shared/listen-address.ts";
import type { DialledLink } from "../command/options.ts";
import type { RelayLink, TokenSource } from "../command/relay-link.ts";
import type { Platform } from "../platform.ts";
import type { AgentEvent } from "../screen/events.ts";
import { type EmbeddedRelay, embedRelay } from "./embedded.ts";

/** The relay that the agents of this process dial, or several of a cluster. */
export interface RelayPlace {
  /** At least one, the preferred first. */
  readonly relays: readonly URL[];
  /** Read before each dial. Rejects with UnderpassError `usage` where the file can't be read. */
  readonly token: () => Promise<string | undefined>;
  /** Present: it runs in this process. */
  readonly embedded?: EmbeddedRelay;
}

export interface PlaceOptions {
  readonly link: RelayLink;
  /** Of an embedded relay. */
  readonly listen?: ListenAddress | undefined;
  /** What tunnels an embedded relay is to offer; absent: all. */
  readonly kinds?: readonly Kind[];
  readonly platform: Platform;
  readonly onEvent: (event: AgentEvent) => void;
}

/** The relays that `link` names; where it names none, one is started in this process. Rejects with `port-in-use`. */
export async function openRelayPlace(given: PlaceOptions): Promise<RelayPlace> {
  const { link, listen, platform } = given;
  if (link.relays !== undefined) return dialledPlace({ ...link, relays: link.relays }, platform);
  const embedded = await embedRelay(platform, { listen, kinds: given.kinds ?? kinds });
  const { url, lan } = embedded;
  given.onEvent({ event: "listening", url: url.origin, embedded: true, ...(lan && { lan }) });
  return { relays: [url], token: async () => embedded.token, embedded };
}

/** The relays that `link` names. */
export function dialledPlace(link: DialledLink, { readText }: Platform): RelayPlace {
  return { relays: link.relays, token: () => readToken(link.token, readText) };
}

async function readToken(
  token: TokenSource | undefined,
  readText: Platform["readText"],
): Promise<string | undefined> {
  if (token === undefined || "value" in token) return token?.value;
  try {
    return (await readText(token.file)).trim();
  } catch (error) {
    throw new UnderpassError("usage", `The token file ${token.file} can't be read.`, { cause: error });
  }
}
