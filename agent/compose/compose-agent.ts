import { Backoff } from "../../shared/dial/backoff.ts";
import { RelayDialer } from "../../shared/dial/dial.ts";
import { Agent, type AgentSettings } from "../agent.ts";
import type { RelayLink } from "../command/relay-link.ts";
import { dialThroughProxy } from "../dial/dial-through-proxy.ts";
import { chooseProxy, type ProxiedTarget } from "../dial/proxy-environment.ts";
import { Transport } from "../dial/transport.ts";
import type { Platform } from "../platform.ts";
import type { AgentEvent } from "../screen/events.ts";
import type { RelayPlace } from "./relay-place.ts";

/** What all that one process runs has in common. */
export interface Surroundings {
  readonly platform: Platform;
  readonly version: string;
  readonly onEvent: (event: AgentEvent) => void;
  /** An answer looked like a dev server's that refuses the Host. */
  readonly onBlockedHost?: (() => void) | undefined;
}

/** What differs between agents of one process. */
export type AgentPurpose = Pick<
  AgentSettings,
  "kind" | "name" | "origin" | "offersEgress" | "remotePort" | "join" | "onEvent" | "onReady"
>;

/** An agent as `link` has it, for `purpose`. Throws UnderpassError `usage` where the environment names a proxy that is none. */
export function makeAgent(
  given: Pick<Surroundings, "platform" | "version"> & {
    readonly link: RelayLink;
    readonly place: RelayPlace;
  },
  purpose: AgentPurpose,
): Agent {
  const { platform, version, link, place } = given;
  const { clock, random, environment } = platform;
  const { relays } = place;
  const { insecure } = link;
  // A variable that names no proxy is told now, rather than at each dial.
  for (const relay of relays) chooseProxy(proxiedTarget(relay), environment);
  const dial = dialThroughProxy(platform, environment);
  return new Agent({
    ...purpose,
    ...(platform.memory && { memory: platform.memory }),
    ...{ relays, insecure },
    door: (relay) =>
      new Transport({
        ...{ choice: link.transport, websocketRetryMs: link.websocketRetryMs, clock, random: Math.random },
        dialer: new RelayDialer({ relay, dial, clock, insecure }),
      }),
    clock,
    token: place.token,
    links: link.links,
    reconnect: link.reconnect,
    backoff: () => new Backoff({ maxDelayMs: link.maxReconnectDelayMs, random: Math.random }),
    instance: randomText(random),
    version,
  });
}

/** The relay as a proxy would be asked for it. */
export function proxiedTarget({ protocol, hostname, port }: URL): ProxiedTarget {
  const secure = protocol === "https:";
  return { host: hostname.replace(/^\[|\]$/g, ""), port: Number(port) || (secure ? 443 : 80), secure };
}

/** 24 bytes as base64url: what HELLO calls `instance`. */
function randomText(random: Platform["random"]): string {
  return btoa(String.fromCharCode(...random(new Uint8Array(24))))
    .replaceAll("+", "-")
    .replaceAll("/", "_");
}
