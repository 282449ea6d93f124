import { EgressDoor } from "../../shared/egress/door.ts";
import { parsePattern } from "../../shared/egress/pattern.ts";
import { EgressPolicy } from "../../shared/egress/policy.ts";
import type { DialTarget } from "../../shared/socket.ts";
import type { Origin } from "../agent.ts";
import type { RelayLink } from "../command/relay-link.ts";
import type { TunnelSpec } from "../command/tunnel-spec.ts";
import { EgressOrigin } from "../origins/egress.ts";
import { type FetchFunction, HandlerOrigin } from "../origins/handler.ts";
import { HttpOrigin } from "../origins/http.ts";
import { TcpOrigin } from "../origins/tcp.ts";
import { UdpOrigin } from "../origins/udp.ts";
import { looksLikeBlockedHost } from "../screen/blocked-host.ts";
import { makeAgent, type Surroundings } from "./compose-agent.ts";
import { PrivateHint } from "./private-hint.ts";
import type { RelayPlace } from "./relay-place.ts";
import type { Running } from "./running.ts";

export type { Surroundings };

export interface TunnelOptions extends Surroundings {
  readonly tunnel: TunnelSpec;
  readonly link: RelayLink;
  readonly place: RelayPlace;
  /** In place of an origin on the network. */
  readonly fetch?: FetchFunction | undefined;
  /** A fetch function failed. */
  readonly onError?: ((error: unknown) => void) | undefined;
}

/** One tunnel: an agent, and its origin. The relay's place is not closed with it. */
export function composeTunnel(given: TunnelOptions): Running {
  const { tunnel, place, platform, onEvent } = given;
  const { embedded } = place;
  const origin = withEgress(given, makeOrigin(given));
  const hint =
    embedded === undefined || tunnel.kind !== "private"
      ? undefined
      : new PrivateHint(embedded, platform, onEvent);
  const agent = makeAgent(given, {
    kind: tunnel.kind,
    origin,
    offersEgress: tunnel.allowEgress.length > 0,
    join: tunnel.join,
    ...(tunnel.name !== undefined && { name: tunnel.name }),
    ...(tunnel.remotePort !== undefined && { remotePort: tunnel.remotePort }),
    onEvent(event) {
      if (event.event !== "ready") return onEvent(event);
      const urls = embedded?.urls(event) ?? event.urls;
      const told = { ...event, url: urls[0] ?? event.url, urls, to: tunnel.origin.url };
      if (hint === undefined) onEvent(told);
      else void hint.ready(told);
    },
  });
  return {
    start: () => agent.start(),
    ended: agent.ended,
    get openStreams() {
      return agent.openStreams;
    },
    abandon: () => agent.abandon(),
    async stop(graceMs) {
      origin.leave?.();
      await agent.stop(graceMs);
      origin.close?.();
      await hint?.close();
    },
  };
}

function makeOrigin(given: TunnelOptions): Origin {
  const { tunnel, platform, onEvent, fetch } = given;
  const { dial, clock, openDatagrams } = platform;
  const { kind } = tunnel;
  if (fetch !== undefined) {
    return new HandlerOrigin({ fetch, clock, onRequest: onEvent, onError: given.onError ?? (() => {}) });
  }
  const target = dialTarget(tunnel);
  if (kind === "udp") return new UdpOrigin({ clock, openDatagrams, target, onStream: onEvent });
  if (kind !== "http") {
    const { originDialTimeoutMs: dialTimeoutMs, proxyProtocol } = tunnel;
    return new TcpOrigin({
      ...{ dial, clock, kind, target, dialTimeoutMs, onStream: onEvent },
      ...(proxyProtocol !== undefined && { proxyProtocol }),
    });
  }
  return new HttpOrigin({
    dial,
    clock,
    target,
    hostHeader: tunnel.hostHeader,
    dialTimeoutMs: tunnel.originDialTimeoutMs,
    headTimeoutMs: tunnel.originHeadTimeoutMs,
    onRequest: onEvent,
    // Who chose another Host has done what the hint says.
    ...(tunnel.hostHeader === "visitor" && {
      onForbidden: (body: Uint8Array) => {
        if (looksLikeBlockedHost(body)) given.onBlockedHost?.();
      },
    }),
  });
}

function dialTarget({ origin, originInsecure }: TunnelSpec): DialTarget {
  const { tls, host, port, unix } = origin;
  return {
    ...(host !== undefined && { host }),
    ...(port !== undefined && { port }),
    ...(unix !== undefined && { unix }),
    ...(tls && { tls: { serverName: host ?? "localhost", insecure: originInsecure } }),
  };
}

function withEgress({ tunnel, platform, onEvent }: TunnelOptions, origin: Origin): Origin {
  if (tunnel.allowEgress.length === 0) return origin;
  return new EgressOrigin({
    origin,
    door: new EgressDoor(platform),
    policy: new EgressPolicy(tunnel.allowEgress.map(parsePattern)),
    onEnd: (end) => onEvent({ event: "stream", kind: "egress", ...end }),
  });
}
